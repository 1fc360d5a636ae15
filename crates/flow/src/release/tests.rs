use super::*;
use crate::Stage;
use crate::inlet::{InletConfig, Opening};
use crate::outlet::OutletConfig;
use crate::router::Direct;
use crate::testing::{Destination, Script, ids, logs, unavailable};
use crate::{Accepted, Acknowledge, Budget, BudgetConfig, Hold, Inlet, Outlet, Refusal, Target};
use wire::Signal;

/// Holds requests whose first id begins with `h` until the next other one, or until they are released. Drops those with `drop`.
#[derive(Default)]
struct Holder {
    held: Mutex<Vec<Staged>>,
    wait: Mutex<Duration>,
    runs: Mutex<u32>,
}

impl Stage for Holder {
    fn apply(&self, staged: &mut Staged) {
        *self.runs.lock() += 1;
        staged.wait = *self.wait.lock();
        let first = ids(&staged.payload).remove(0);
        let empty = Payload::new(Signal::Logs, bytes::Bytes::new(), 0);
        if first.starts_with("drop") {
            staged.payload = empty;
        } else if first.starts_with('h') {
            let payload = std::mem::replace(&mut staged.payload, empty);
            self.held.lock().push(Staged::new(payload, staged.holds.clone()));
        } else if let Some(mut all) = self.release(Release::All) {
            all.payload.body.append(staged.payload.body.clone());
            all.payload.records += staged.payload.records;
            staged.holds.append(&mut all.holds);
            staged.payload = all.payload;
        }
    }

    fn holds(&self) -> bool {
        true
    }

    fn release(&self, _: Release) -> Option<Staged> {
        let held = std::mem::take(&mut *self.held.lock());
        held.into_iter().reduce(|mut all, next| {
            all.payload.body.append(next.payload.body);
            all.payload.records += next.payload.records;
            all.holds.extend(next.holds);
            all
        })
    }
}

struct House {
    inlet: Inlet,
    budget: Budget,
    outlet: Arc<dyn Outgoing>,
    holder: Arc<Holder>,
    releaser: Releaser,
}

impl House {
    fn new(to: &Destination, acknowledge: Acknowledge, queue: u64) -> House {
        let mut config = OutletConfig::new("x", 1 << 30);
        config.capacity.size = queue;
        let outlet: Arc<dyn Outgoing> = Arc::new(Outlet::new(config, to.clone(), Direct(Target::new("t"))));
        let holder = Arc::new(Holder::default());
        let config = InletConfig { acknowledge, ..InletConfig::default() };
        let house = House {
            inlet: Inlet::new(Signal::Logs, Opening { funnels: vec![], config: config.clone() }, Arc::default()),
            budget: Budget::new(BudgetConfig::default()),
            outlet,
            holder,
            releaser: Releaser::default(),
        };
        house.inlet.reopen(Opening { funnels: vec![house.funnel()], config });
        house.releaser.replace(vec![house.funnel()], Acknowledge::Queued);
        house
    }

    fn funnel(&self) -> Funnel {
        Funnel { name: "logs".into(), stages: vec![self.holder.clone()], outlets: vec![self.outlet.clone()] }
    }

    async fn offer(&self, id: &str) -> Result<Accepted, Refusal> {
        let payload = logs("s", &[id]);
        let mut permit = self.budget.open(None)?;
        permit.grow(payload.len())?;
        self.inlet.offer(payload, permit).await
    }

    async fn close(self) {
        self.inlet.reopen(Opening { funnels: vec![], config: InletConfig::default() });
        self.releaser.end(clock::now() + Duration::from_secs(1)).await;
        self.outlet.close(clock::now()).await;
        assert_eq!((self.budget.bytes(), self.budget.records(), self.budget.requests()), (0, 0, 0));
    }
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Scenario: `acknowledge: delivered`, a request of which everything is held, then one that brings it along to a destination that
/// fails, then takes. Guarantee: the first sender hears nothing before, and then the same as the second.
#[tokio::test(start_paused = true)]
async fn a_sender_of_held_records_waits_for_them() {
    let d = Destination::default();
    let house = House::new(&d, Acknowledge::Delivered, 100);
    let mut held = Box::pin(house.offer("h1"));
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut held).await.is_err());
    assert!(house.budget.bytes() > 0 && d.tries().is_empty());
    assert_eq!(house.offer("2").await, Ok(Accepted::ALL));
    assert_eq!(held.await, Ok(Accepted::ALL));
    assert_eq!(d.taken_ids(), ["h1", "2"]);
    d.always(Some(Script::Answer(crate::Attempt::Reject { why: Why::new(Kind::BadData, "no") })));
    let (first, second) = tokio::join!(house.offer("h3"), house.offer("4"));
    assert!(first.unwrap().rejected().is_some() && second.unwrap().rejected().is_some());
    house.close().await;
}

/// Scenario: records are held, and nothing follows. Guarantee: queued senders are answered at once, and the releaser delivers.
#[tokio::test(start_paused = true)]
async fn what_is_held_comes_out_by_itself() {
    let d = Destination::default();
    let house = House::new(&d, Acknowledge::Queued, 100);
    assert_eq!(house.offer("h1").await, Ok(Accepted::ALL));
    assert_eq!(house.offer("drop").await, Ok(Accepted::ALL));
    assert!(house.budget.bytes() > 0, "what is held is charged");
    assert!(!house.releaser.pass(Release::Due));
    settle().await;
    assert_eq!((d.taken_ids(), house.budget.bytes()), (vec!["h1".to_owned()], 0));
    house.close().await;
}

/// Scenario: the only exporter is full when held records are due, then has room again. Guarantee: they stay held until then, and
/// nothing is counted as lost.
#[tokio::test(start_paused = true)]
async fn a_full_exporter_does_not_cost_what_is_held() {
    let d = Destination::scripted([Script::Take(Duration::from_secs(5))]);
    let house = House::new(&d, Acknowledge::Queued, 1);
    house.offer("h1").await.unwrap();
    let plain = Funnel { name: "plain".into(), stages: vec![], outlets: vec![house.outlet.clone()] };
    house.inlet.reopen(Opening { funnels: vec![plain], config: InletConfig::default() });
    house.offer("2").await.unwrap();
    assert!(!house.releaser.pass(Release::Due));
    assert!(house.releaser.pass(Release::All), "at the end it is taken out, and waits");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!house.releaser.pass(Release::All));
    settle().await;
    assert_eq!(d.taken_ids(), ["2", "h1"]);
    assert_eq!(house.outlet.view().stats.enqueue_failed.total(), 0);
    house.close().await;
}

/// Scenario: everything ends while the only exporter stays full. Guarantee: what was held is settled as failed, counted, by the deadline.
#[tokio::test(start_paused = true)]
async fn what_finds_no_room_at_the_end_is_counted() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let house = House::new(&d, Acknowledge::Queued, 1);
    house.offer("h1").await.unwrap();
    let plain = Funnel { name: "plain".into(), stages: vec![], outlets: vec![house.outlet.clone()] };
    house.inlet.reopen(Opening { funnels: vec![plain], config: InletConfig::default() });
    house.offer("2").await.unwrap();
    let begin = clock::now();
    house.releaser.end(begin + Duration::from_secs(2)).await;
    assert!(clock::now() - begin < Duration::from_secs(3));
    assert_eq!(house.outlet.view().stats.enqueue_failed.total(), 1);
    house.close().await;
}

/// Scenario: a request is refused because the only exporter is full. Guarantee: its stages did not run, so that sending it again does
/// not count or hold it twice.
#[tokio::test(start_paused = true)]
async fn stages_do_not_run_for_nothing() {
    let d = Destination::default();
    d.always(Some(Script::Stall));
    let house = House::new(&d, Acknowledge::Queued, 1);
    house.offer("1").await.unwrap();
    assert_eq!(house.offer("2").await.unwrap_err().why.kind, Kind::QueueFull);
    assert_eq!(house.offer("h3").await.unwrap_err().why.kind, Kind::QueueFull);
    assert_eq!(*house.holder.runs.lock(), 1);
    assert_eq!(house.inlet.stats().refused.total(), 2);
    house.close().await;
}

/// Scenario: a stage asks for 300 ms, then for 5 s. Guarantee: the first answer waits as long; after the second the source is asked to come
/// back when the rest of the 5 s is over, another door is not held back, and then it goes on.
#[tokio::test(start_paused = true)]
async fn a_source_is_held_back() {
    let d = Destination::default();
    let house = House::new(&d, Acknowledge::Queued, 100);
    *house.holder.wait.lock() = Duration::from_millis(300);
    let start = clock::now();
    house.offer("1").await.unwrap();
    assert_eq!((clock::now() - start).as_millis() / 10, 30);
    *house.holder.wait.lock() = Duration::from_secs(5);
    house.offer("2").await.unwrap();
    *house.holder.wait.lock() = Duration::ZERO;
    let refusal = house.offer("3").await.unwrap_err();
    assert_eq!(refusal.why.kind, Kind::Throttled);
    let left = refusal.retry_after.unwrap();
    assert!(left > Duration::from_millis(2900) && left <= Duration::from_secs(3), "{left:?}");
    let permit = house.budget.open(None).unwrap();
    house.inlet.sharing(Arc::default()).offer(logs("s", &["4"]), permit).await.unwrap();
    tokio::time::sleep(left).await;
    house.offer("5").await.unwrap();
    settle().await;
    assert_eq!(d.taken_ids(), ["1", "2", "4", "5"]);
    house.close().await;
}

/// Scenario: a reload takes a stage away while it holds records, and a request is still on its way into it. Guarantee: both come out,
/// through the old exporter, and then the old pipeline is forgotten.
#[tokio::test(start_paused = true)]
async fn a_replaced_stage_is_emptied() {
    let d = Destination::default();
    let house = House::new(&d, Acknowledge::Queued, 100);
    house.offer("h1").await.unwrap();
    let late = house.funnel();
    house.inlet.reopen(Opening { funnels: vec![], config: InletConfig::default() });
    house.releaser.replace(vec![], Acknowledge::Queued);
    house.releaser.pass(Release::Due);
    let mut staged = Staged::new(logs("s", &["h2"]), vec![Hold::new(crate::Ack::unwatched(None))]);
    late.stages[0].apply(&mut staged);
    house.releaser.pass(Release::Due);
    settle().await;
    assert_eq!(d.taken_ids(), ["h1", "h2"]);
    assert_eq!(house.releaser.pipelines.lock().len(), 1);
    let House { holder, releaser, outlet, .. } = house;
    drop((late, holder));
    releaser.pass(Release::Due);
    assert!(releaser.pipelines.lock().is_empty());
    outlet.close(clock::now()).await;
}

/// Scenario: `ingest: sync` with held records. Guarantee: the answer waits until they are delivered too, and tells of their failure.
#[tokio::test(start_paused = true)]
async fn sync_ingest_waits_for_what_is_held() {
    let d = Destination::default();
    let house = House::new(&d, Acknowledge::Queued, 100);
    let config = InletConfig { sync: true, ..InletConfig::default() };
    house.inlet.reopen(Opening { funnels: vec![house.funnel()], config });
    let (held, plain) = tokio::join!(house.offer("h1"), house.offer("2"));
    assert_eq!((held, plain), (Ok(Accepted::ALL), Ok(Accepted::ALL)));
    d.always(Some(Script::Answer(unavailable())));
    let (held, plain) = tokio::join!(house.offer("h3"), house.offer("4"));
    assert!(held.is_err() && plain.is_err());
    house.close().await;
}
