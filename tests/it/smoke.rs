use crate::harness::{Kennel, state_of};

#[test]
fn echo_answers() {
    let kennel = Kennel::start(&["echo"]);
    let task = kennel.ask("echo", "hello");
    assert_eq!(state_of(&task), "TASK_STATE_COMPLETED", "{task:#}");
}
