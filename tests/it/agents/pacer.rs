//! A fixture: an agent that tells progress faster than it is shown, and then takes its time.

use kennel::prelude::*;

/// Three steps at once, a pause, and the end.
#[kennel::agent]
fn pacer(task: Task) -> Result<Outcome> {
    for (percent, phase) in [(10, "begin"), (20, "middle"), (30, "almost")] {
        task.progress(percent, phase)?;
    }
    task.sleep(milliseconds(400))?;
    task.publish("result", "there")?;
    task.progress(60, "again")?;
    task.progress(70, "last")?;
    task.sleep(milliseconds(400))?;
    task.progress(80, "too soon")?;
    task.progress(90, "at the end")?;
    done()
}
