//! What a task has under way: its HTTP exchanges and the tasks it has sent, by the numbers that its agent knows.
//!
//! A child runs in the store as every task does; what is kept here is where to look for its stop. An exchange runs beside the agent and fills the row of the call that began it. Never here: what the agent sees of it and when (that is
//! recorded by the calls in `outside.rs`), rules and addresses (`kennel-egress`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_egress::{Egress, Policy, Request, Room};
use kennel_protocol::{Seq, TaskId, Timestamp};
use kennel_sandbox::call::{
    Answer, Call, ErrorKind, GuestError, HttpHead, HttpPiece, HttpRequest, HttpResponse, Pending,
};
use kennel_store::NewAnswer;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use super::journal::Recorded;
use super::lane::{Dead, Lane};
use super::outside::{guest_error, head_of, response_of};

/// Numbers that a task may have open.
const OPEN_MAX: usize = 64;
/// Pendings of a task that run at once; more wait their turn.
const RUNNING_MAX: usize = 8;
/// Bytes of a body that are read ahead of the agent, if the host has room for them…
const AHEAD_BYTES: usize = 256 << 10;
/// …and if it has not.
const AHEAD_FREE_BYTES: usize = 16 << 10;

/// Where an exchange stands.
#[derive(Debug)]
enum State {
    /// It runs.
    Running,
    /// It was begun by a former activation, and nothing came of it: to be decided when the work is live.
    Unknown(Box<HttpRequest>),
    /// The whole response is there.
    Whole(Result<Box<HttpResponse>, GuestError>),
    /// The whole response stands in the row of the call that began it, and nowhere else: it is too large to be kept twice.
    Stored,
    /// The response comes in pieces.
    Pieces(Pieces),
    /// Another task works on it.
    Child(Child),
}

/// A task that this task has sent a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Child {
    /// The task.
    pub(crate) task: TaskId,
    /// Its stops from here on are answers to the message.
    pub(crate) since: Seq,
    /// When the agent does not want to wait any longer.
    pub(crate) due: Option<Timestamp>,
    /// The stop that answers the message, once it is known.
    #[serde(skip)]
    pub(crate) stop: Option<Seq>,
}

/// A response in pieces.
#[derive(Debug, Default)]
struct Pieces {
    head: Option<Result<HttpHead, GuestError>>,
    waiting: VecDeque<Result<HttpPiece, GuestError>>,
    bytes: usize,
}

/// How a response is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// `http.start`.
    Whole,
    /// `http.open`.
    Pieces,
    /// `peers.send`: an answer, not a response.
    Answer,
}

#[derive(Debug)]
struct Exchange {
    /// The row of the call that began it.
    row: u32,
    shape: Shape,
    state: State,
    /// When it became ready, counted over the task.
    ready: Option<u64>,
    head_taken: bool,
    /// What carries it; none if it is known from the journal only.
    driver: Option<AbortHandle>,
    /// What its body takes of the room that a host has for bodies, in a run without a journal: until it is taken.
    room: Room,
    /// What is read ahead of it takes of the same.
    ahead: Option<Room>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    last: Pending,
    open: BTreeMap<Pending, Exchange>,
    readied: u64,
    /// Whether a child stopped since the agent last looked.
    news: bool,
}

/// What a checkpoint keeps of exchanges: their numbers go on, and what came of them stands in their rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Books {
    last: Pending,
    /// Number, row, and how the response was wanted.
    pub(crate) open: Vec<(Pending, u32, Shape)>,
    children: Vec<(Pending, u32, Child)>,
}

impl Books {
    /// For another task that begins with them: what was under way is not its own, and the numbers stay used.
    pub(crate) fn begun_anew(self) -> Books {
        Books { last: self.last, ..Books::default() }
    }
}

/// Everything that one task has under way. They stay over checkpoints.
#[derive(Debug)]
pub(crate) struct Pendings {
    table: Mutex<Table>,
    changed: Notify,
    /// Told when pieces were read: there is room for more.
    read: Notify,
    running: Semaphore,
}

/// What an exchange is carried out with.
#[derive(Clone)]
pub(crate) struct Carrier {
    pub(crate) egress: Egress,
    pub(crate) policy: Arc<Policy>,
    /// Where what comes of it is recorded; none: of a run without a journal.
    pub(crate) lane: Option<Lane>,
    /// Where sockets are served; guests run elsewhere.
    pub(crate) runtime: Handle,
}

impl Default for Pendings {
    fn default() -> Pendings {
        Pendings {
            table: Mutex::default(),
            changed: Notify::new(),
            read: Notify::new(),
            running: Semaphore::new(RUNNING_MAX),
        }
    }
}

impl Pendings {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may be begun.
    pub(crate) fn room(&self) -> Result<(), GuestError> {
        if self.table().open.len() < OPEN_MAX {
            return Ok(());
        }
        let text = format!("a task has at most {OPEN_MAX} things under way; take or abort some");
        Err(GuestError::new(ErrorKind::Limit, "pendings", text))
    }

    /// Gives a number to what the call in a row has begun.
    fn enter(&self, row: u32, shape: Shape, state: State) -> Pending {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        table.open.insert(number, Exchange::new(row, shape, state));
        number
    }

    /// A new exchange, on its way.
    pub(crate) fn begin(self: &Arc<Self>, row: u32, shape: Shape, request: Request, carrier: Carrier) -> Pending {
        let number = self.enter(row, shape, State::Running);
        self.drive(number, request, carrier);
        number
    }

    /// What a recorded call had begun: with the result, if there is one.
    fn recall(
        &self,
        row: u32,
        shape: Shape,
        request: HttpRequest,
        recorded: Option<Result<Outcome, GuestError>>,
    ) -> Pending {
        let state = match recorded {
            None => State::Unknown(Box::new(request)),
            Some(recorded) => state_of(recorded, shape),
        };
        let known = !matches!(state, State::Unknown(_));
        let number = self.enter(row, shape, state);
        if known {
            self.make_ready(number);
        }
        number
    }

    /// The books as they stand.
    pub(crate) fn books(&self) -> Books {
        let table = self.table();
        let mut books = Books { last: table.last, ..Books::default() };
        for (number, exchange) in &table.open {
            match &exchange.state {
                State::Child(child) => books.children.push((*number, exchange.row, child.clone())),
                _ => books.open.push((*number, exchange.row, exchange.shape)),
            }
        }
        books
    }

    /// Goes on from books that were kept: the numbers.
    pub(crate) fn restore(&self, books: &Books) {
        let mut table = self.table();
        table.last = books.last;
        for (number, row, child) in &books.children {
            let state = State::Child(child.clone());
            table.open.insert(*number, Exchange::new(*row, Shape::Answer, state));
        }
    }

    /// Goes on from books that were kept: one exchange, with what its row says came of it.
    pub(crate) fn restore_one(
        &self,
        (number, row, shape): (Pending, u32, Shape),
        recorded: Option<Result<Outcome, GuestError>>,
    ) {
        let lost = || {
            let text = "the host stopped before it knew what came of the request";
            Err(GuestError::new(ErrorKind::UnknownOutcome, "unknown-outcome", text))
        };
        let state = state_of(recorded.unwrap_or_else(lost), shape);
        self.table().open.insert(number, Exchange::new(row, shape, state));
        self.make_ready(number);
    }

    /// What a recorded call of a task's own did, and its answer. `recorded`: none if the call began something of which nothing is known. None:
    /// what the row names is not there.
    pub(crate) fn repeated(
        &self,
        row: u32,
        call: &Call,
        recorded: Option<Recorded>,
    ) -> Option<Result<Answer, GuestError>> {
        let recorded = match (call, recorded) {
            (Call::HttpStart { request } | Call::HttpOpen { request }, recorded) => {
                let shape = if matches!(call, Call::HttpStart { .. }) { Shape::Whole } else { Shape::Pieces };
                let outcome = match recorded {
                    None => None,
                    // It was refused at once, and has no number.
                    Some(Recorded::Error(error)) => return Some(Err(error)),
                    Some(recorded) => Some(outcome_of(recorded)?),
                };
                return Some(Ok(Answer::Pending(self.recall(row, shape, request.clone(), outcome))));
            }
            (_, recorded) => recorded?,
        };
        match (call, recorded) {
            (Call::HttpTake { exchange }, Recorded::Taken) => {
                match self.take(*exchange).ok().flatten() {
                    Some(Taken::Here(response)) => Some(response.map(Answer::Response)),
                    // Put down only once nothing is repeated any more.
                    Some(Taken::Stored(_)) | None => None,
                }
            }
            (Call::HttpHead { exchange }, Recorded::Taken) => {
                self.head(*exchange).ok().flatten().map(|head| head.map(|head| Answer::Head(Box::new(head))))
            }
            (Call::HttpRead { exchange, .. }, Recorded::Answer(Answer::Piece(piece))) => {
                if matches!(piece, Some(HttpPiece::End | HttpPiece::Interrupted)) {
                    self.forget(*exchange);
                }
                Some(Ok(Answer::Piece(piece)))
            }
            (Call::HttpRead { exchange: number, .. } | Call::PeerTake { sent: number }, Recorded::Error(error)) => {
                if error.kind != ErrorKind::Canceled {
                    self.forget(*number);
                }
                Some(Err(error))
            }
            (Call::PeerTake { sent }, Recorded::Answer(answer)) => {
                self.forget(*sent);
                Some(Ok(answer))
            }
            (Call::PeerSend { .. }, Recorded::Sent(child)) => Some(Ok(Answer::Pending(self.send(row, child)))),
            (_, Recorded::Answer(answer)) => Some(Ok(answer)),
            (_, Recorded::Error(error)) => Some(Err(error)),
            (
                _,
                Recorded::Taken | Recorded::Message(_) | Recorded::Exchange(_) | Recorded::Head(_) | Recorded::Sent(_),
            ) => None,
        }
    }

    /// Lets go of large responses that were read back from the journal and not taken in the repetition: their rows have them.
    pub(crate) fn put_down(&self) {
        for exchange in self.table().open.values_mut() {
            if matches!(&exchange.state, State::Whole(Ok(response)) if is_large(response)) {
                exchange.state = State::Stored;
            }
        }
    }

    /// What is to be decided once the work is live: number, row, request.
    pub(crate) fn unknown(&self) -> Vec<(Pending, u32, HttpRequest)> {
        let table = self.table();
        let unknown = table.open.iter().filter_map(|(number, exchange)| match &exchange.state {
            State::Unknown(request) => Some((*number, exchange.row, (**request).clone())),
            _ => None,
        });
        unknown.collect()
    }

    /// Sends a request again that a former activation had begun.
    pub(crate) fn repeat(self: &Arc<Self>, number: Pending, request: Request, carrier: Carrier) {
        if let Some(exchange) = self.table().open.get_mut(&number) {
            exchange.state = State::Running;
        }
        self.drive(number, request, carrier);
    }

    /// Ends an exchange with an error, recorded in its row.
    pub(crate) fn fail(&self, number: Pending, error: GuestError) {
        let shape = self.table().open.get(&number).map(|exchange| exchange.shape);
        let state = match shape {
            Some(Shape::Pieces) => State::Pieces(Pieces { head: Some(Err(error)), ..Pieces::default() }),
            _ => State::Whole(Err(error)),
        };
        self.set(number, state);
    }

    /// A message to another task, on its way.
    pub(crate) fn send(&self, row: u32, child: Child) -> Pending {
        self.enter(row, Shape::Answer, State::Child(child))
    }

    /// A child came to a stop: what waits for it is ready.
    pub(crate) fn child_stopped(&self, task: &TaskId, seq: Seq) {
        let mut ready = Vec::new();
        for (number, exchange) in &mut self.table().open {
            if let State::Child(child) = &mut exchange.state
                && child.task == *task
                && child.stop.is_none()
                && child.since <= seq
            {
                child.stop = Some(seq);
                ready.push(*number);
            }
        }
        if !ready.is_empty() {
            self.table().news = true;
        }
        for number in ready {
            self.make_ready(number);
        }
    }

    /// Whether a child stopped since the agent last looked: then it is no time to leave.
    pub(crate) fn have_news(&self) -> bool {
        self.table().news
    }

    /// The agent looks now.
    pub(crate) fn look(&self) {
        self.table().news = false;
    }

    /// Messages to other tasks whose answer is not known.
    pub(crate) fn unanswered(&self) -> Vec<Child> {
        let table = self.table();
        let children = table.open.values().filter_map(|exchange| match &exchange.state {
            State::Child(child) if child.stop.is_none() => Some(child.clone()),
            _ => None,
        });
        children.collect()
    }

    /// A message to another task.
    pub(crate) fn child(&self, number: Pending) -> Result<Child, GuestError> {
        let table = self.table();
        match table.open.get(&number).map(|exchange| &exchange.state) {
            Some(State::Child(child)) => Ok(child.clone()),
            Some(_) => Err(GuestError::new(ErrorKind::Invalid, "sent", "it is an exchange: use take of http")),
            None => Err(unknown_number(number)),
        }
    }

    /// The earliest moment at which the agent stops waiting for one of these.
    pub(crate) fn due(&self, numbers: &[Pending]) -> Option<Timestamp> {
        let table = self.table();
        let dues = numbers.iter().filter_map(|number| match &table.open.get(number)?.state {
            State::Child(child) if child.stop.is_none() => child.due,
            _ => None,
        });
        dues.min()
    }

    /// Forgets a number whose answer has been taken.
    pub(crate) fn forget(&self, number: Pending) {
        self.table().open.remove(&number);
    }

    /// Whether something is on its way that would be lost with the instance: a request, or pieces that were not read.
    pub(crate) fn hold_instance(&self) -> bool {
        self.table().open.values().any(|exchange| match &exchange.state {
            State::Running => true,
            State::Pieces(pieces) => exchange.driver.is_some() && matches!(pieces.head, Some(Ok(_))),
            State::Whole(_) | State::Stored | State::Unknown(_) | State::Child(_) => false,
        })
    }

    /// Waits until something may have become ready since the future was made.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Whether the number is known, and since when it is ready at this time.
    pub(crate) fn readiness(&self, number: Pending, now: Timestamp) -> Result<Option<u64>, GuestError> {
        let table = self.table();
        let exchange = table.open.get(&number).ok_or_else(|| unknown_number(number))?;
        if let State::Child(Child { stop: None, due: Some(due), .. }) = exchange.state
            && due <= now
        {
            // Behind everything that came in time.
            return Ok(Some(u64::MAX));
        }
        Ok(exchange.ready.filter(|_| exchange.has_something()))
    }

    /// Takes a whole response, if it is there: its number is gone then.
    pub(crate) fn take(&self, number: Pending) -> Result<Option<Taken>, GuestError> {
        let mut table = self.table();
        let exchange = table.open.get(&number).ok_or_else(|| unknown_number(number))?;
        if exchange.shape != Shape::Whole {
            return Err(GuestError::new(ErrorKind::Invalid, "exchange", "it was not started by http.start"));
        }
        if !matches!(exchange.state, State::Whole(_) | State::Stored) {
            return Ok(None);
        }
        let Some(mut exchange) = table.open.remove(&number) else { return Ok(None) };
        match std::mem::replace(&mut exchange.state, State::Running) {
            State::Whole(response) => Ok(Some(Taken::Here(response))),
            _ => Ok(Some(Taken::Stored(exchange.row))),
        }
    }

    /// The beginning of a response, if it is there.
    pub(crate) fn head(&self, number: Pending) -> Result<Option<Result<HttpHead, GuestError>>, GuestError> {
        let mut table = self.table();
        let exchange = table.open.get_mut(&number).ok_or_else(|| unknown_number(number))?;
        let head_taken = exchange.head_taken;
        let pieces = exchange.pieces()?;
        if head_taken {
            return Err(GuestError::new(ErrorKind::Invalid, "exchange", "its head was taken"));
        }
        let head = pieces.and_then(|pieces| pieces.head.clone());
        exchange.head_taken = head.is_some();
        Ok(head)
    }

    /// The next piece of a response, if it is there. The last one takes the number with it.
    pub(crate) fn read(&self, number: Pending) -> Result<Option<Result<HttpPiece, GuestError>>, GuestError> {
        let mut table = self.table();
        let exchange = table.open.get_mut(&number).ok_or_else(|| unknown_number(number))?;
        let Some(pieces) = exchange.pieces()? else { return Ok(None) };
        if let Some(Err(error)) = &pieces.head {
            let error = error.clone();
            table.open.remove(&number);
            return Ok(Some(Err(error)));
        }
        let Some(piece) = pieces.waiting.pop_front() else { return Ok(None) };
        if let Ok(HttpPiece::Data(bytes)) = &piece {
            pieces.bytes -= bytes.len();
        } else {
            table.open.remove(&number);
        }
        drop(table);
        self.read.notify_waiters();
        Ok(Some(piece))
    }

    /// Forgets an exchange and breaks it off.
    pub(crate) fn abort(&self, number: Pending) -> Result<(), GuestError> {
        self.table().open.remove(&number).map(drop).ok_or_else(|| unknown_number(number))
    }

    /// Breaks off all that is under way: whoever began it is gone.
    pub(crate) fn close(&self) {
        self.table().open.clear();
    }

    fn make_ready(&self, number: Pending) {
        let mut table = self.table();
        let readied = table.readied + 1;
        if let Some(exchange) = table.open.get_mut(&number)
            && exchange.ready.is_none()
        {
            exchange.ready = Some(readied);
            table.readied = readied;
        }
        drop(table);
        self.changed.notify_waiters();
    }

    fn set(&self, number: Pending, state: State) {
        if let Some(exchange) = self.table().open.get_mut(&number) {
            exchange.state = state;
        }
        self.make_ready(number);
    }

    /// Runs an exchange beside the agent.
    fn drive(self: &Arc<Self>, number: Pending, request: Request, carrier: Carrier) {
        let mut table = self.table();
        let Some(exchange) = table.open.get_mut(&number) else { return };
        let (row, shape, pendings) = (exchange.row, exchange.shape, Arc::clone(self));
        let runtime = carrier.runtime.clone();
        let driver = runtime.spawn(async move {
            // Closed never: the exchanges own it.
            let _turn = pendings.running.acquire().await;
            // The intent is on disk before anything leaves.
            let done = match (carrier.intent_is_written().await, shape) {
                (Err(dead), _) => Err(dead),
                (Ok(()), Shape::Whole) => pendings.fetch(number, row, request, &carrier).await,
                (Ok(()), Shape::Pieces | Shape::Answer) => pendings.stream(number, row, request, &carrier).await,
            };
            if let Err(Dead) = done {
                tracing::debug!(number, "the task of an exchange is somebody else's");
            }
        });
        exchange.driver = Some(driver.abort_handle());
    }

    async fn fetch(&self, number: Pending, row: u32, request: Request, carrier: &Carrier) -> Result<(), Dead> {
        let method = request.method.clone();
        let fetched = carrier.egress.fetch(&carrier.policy, request).await;
        let room = fetched.as_ref().map(|response| response.room.clone()).unwrap_or_default();
        let result = fetched.map(response_of).map_err(|error| guest_error(&error, &method));
        carrier.record(row, &Recorded::Exchange(result.clone())).await?;
        if carrier.lane.is_some() && result.as_ref().is_ok_and(is_large) {
            // It gives its room back: whoever takes it may first wait for another that needs the same.
            carrier.intent_is_written().await?;
            self.set(number, State::Stored);
            return Ok(());
        }
        if let Some(exchange) = self.table().open.get_mut(&number) {
            exchange.room = room;
        }
        self.set(number, State::Whole(result.map(Box::new)));
        Ok(())
    }

    async fn stream(&self, number: Pending, row: u32, request: Request, carrier: &Carrier) -> Result<(), Dead> {
        let method = request.method.clone();
        let opened = carrier.egress.open(&carrier.policy, request).await;
        let head = match &opened {
            Ok(exchange) => Ok(head_of(&exchange.head)),
            Err(error) => Err(guest_error(error, &method)),
        };
        carrier.record(row, &Recorded::Head(head.clone())).await?;
        self.set(number, State::Pieces(Pieces { head: Some(head), ..Pieces::default() }));
        let Ok(mut exchange) = opened else { return Ok(()) };
        loop {
            let next = exchange.next().await;
            let (piece, more) = match next {
                Ok(Some(bytes)) => (Ok(HttpPiece::Data(bytes)), true),
                Ok(None) => (Ok(HttpPiece::End), false),
                Err(error) => (Err(guest_error(&error, &method)), false),
            };
            self.put(number, piece, &carrier.egress).await;
            if !more {
                return Ok(());
            }
        }
    }

    /// Puts a piece where the agent finds it; waits while it has not read what is there.
    async fn put(&self, number: Pending, piece: Result<HttpPiece, GuestError>, egress: &Egress) {
        loop {
            let read = self.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            let full = match self.table().open.get_mut(&number) {
                Some(exchange) => exchange.is_full(egress),
                None => return,
            };
            if !full {
                break;
            }
            read.await;
        }
        if let Some(State::Pieces(pieces)) = self.table().open.get_mut(&number).map(|exchange| &mut exchange.state) {
            if let Ok(HttpPiece::Data(bytes)) = &piece {
                pieces.bytes += bytes.len();
            }
            pieces.waiting.push_back(piece);
        }
        self.changed.notify_waiters();
    }
}

impl Exchange {
    fn new(row: u32, shape: Shape, state: State) -> Exchange {
        let (room, ahead) = (Room::default(), None);
        Exchange { row, shape, state, ready: None, head_taken: false, driver: None, room, ahead }
    }

    /// Whether the next call has something to give.
    fn has_something(&self) -> bool {
        match &self.state {
            State::Running | State::Unknown(_) => false,
            State::Whole(_) | State::Stored => true,
            State::Child(child) => child.stop.is_some(),
            State::Pieces(pieces) => {
                pieces.head.is_some() && (!self.head_taken || !pieces.waiting.is_empty())
                    || matches!(&pieces.head, Some(Err(_)))
            }
        }
    }

    /// Whether no more is read ahead. Beyond the little that is free, only if the host has room.
    fn is_full(&mut self, egress: &Egress) -> bool {
        let State::Pieces(pieces) = &self.state else { return false };
        if pieces.bytes < AHEAD_FREE_BYTES {
            return false;
        }
        let room = self.ahead.take().or_else(|| egress.try_room(AHEAD_BYTES));
        let full = room.is_none() || pieces.bytes >= AHEAD_BYTES;
        self.ahead = room;
        full
    }

    /// The pieces, once there are any.
    fn pieces(&mut self) -> Result<Option<&mut Pieces>, GuestError> {
        if self.shape != Shape::Pieces {
            return Err(GuestError::new(ErrorKind::Invalid, "exchange", "it was not opened by http.open"));
        }
        match &mut self.state {
            State::Pieces(pieces) => Ok(Some(pieces)),
            State::Running | State::Unknown(_) | State::Whole(_) | State::Stored | State::Child(_) => Ok(None),
        }
    }
}

/// A response that was taken.
pub(crate) enum Taken {
    /// It was in memory.
    Here(Result<Box<HttpResponse>, GuestError>),
    /// It stands in this row.
    Stored(u32),
}

/// Whether a response is kept on disk only until it is taken.
fn is_large(response: &HttpResponse) -> bool {
    response.body.len() > AHEAD_FREE_BYTES
}

/// What a recorded exchange came to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The whole response.
    Whole(Box<HttpResponse>),
    /// How the response began.
    Head(HttpHead),
}

/// What the row of an exchange says came of it.
pub(crate) fn outcome_of(recorded: Recorded) -> Option<Result<Outcome, GuestError>> {
    match recorded {
        Recorded::Exchange(result) => Some(result.map(|response| Outcome::Whole(Box::new(response)))),
        Recorded::Head(head) => Some(head.map(Outcome::Head)),
        Recorded::Answer(_) | Recorded::Error(_) | Recorded::Message(_) | Recorded::Taken | Recorded::Sent(_) => None,
    }
}

/// What a recorded exchange is like.
fn state_of(recorded: Result<Outcome, GuestError>, shape: Shape) -> State {
    match (recorded, shape) {
        (Ok(Outcome::Whole(response)), _) => State::Whole(Ok(response)),
        (Err(error), Shape::Whole) => State::Whole(Err(error)),
        (Ok(Outcome::Head(head)), _) => State::Pieces(broken_off(Ok(head))),
        (Err(error), Shape::Pieces | Shape::Answer) => State::Pieces(broken_off(Err(error))),
    }
}

/// A response in pieces whose connection went with the host: what was not read is lost.
fn broken_off(head: Result<HttpHead, GuestError>) -> Pieces {
    Pieces { head: Some(head), waiting: VecDeque::from([Ok(HttpPiece::Interrupted)]), bytes: 0 }
}

impl Carrier {
    /// A request with room for its body, as soon as there is some.
    pub(crate) async fn with_room(&self, mut request: Request) -> Result<Request, GuestError> {
        let room = self.egress.room(&request).await;
        request.room = room.map_err(|error| guest_error(&error, &request.method))?;
        Ok(request)
    }

    /// Waits until what was queued for the journal is on disk: the call that began the exchange, or what came of it.
    async fn intent_is_written(&self) -> Result<(), Dead> {
        match &self.lane {
            Some(lane) => lane.flush().await,
            None => Ok(()),
        }
    }

    /// Writes what came of an exchange into the row of the call that began it.
    async fn record(&self, row: u32, recorded: &Recorded) -> Result<(), Dead> {
        let Some(lane) = &self.lane else { return Ok(()) };
        let result = lane.stored(recorded.bytes()?).await?;
        let at_us = kennel_sandbox::call::Moment::from(lane.now()).micros();
        lane.answer(row, NewAnswer { result, at_us }, None);
        Ok(())
    }
}

fn unknown_number(number: Pending) -> GuestError {
    let text = format!("there is nothing under way with the number {number}");
    GuestError::new(ErrorKind::NotFound, "pending", text)
}
