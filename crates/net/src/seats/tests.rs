use super::*;
use tokio::task::JoinHandle;

/// A connection that waits until it is closed.
fn sit(seat: Seat) -> (JoinHandle<()>, u32) {
    let (closes, ahead) = (seat.closes(), seat.ahead());
    let task = tokio::spawn(async move {
        let _seat = seat;
        std::future::pending().await
    });
    closes(task.abort_handle());
    (task, ahead)
}

fn stats() -> Arc<ListenStats> {
    Arc::default()
}

/// Takes seats until there is none.
async fn fill(seats: &Seats, stats: &Arc<ListenStats>) -> Vec<JoinHandle<()>> {
    let mut all = vec![];
    while let Some(seat) = seats.try_take(false, 0, stats) {
        all.push(sit(seat).0);
    }
    all
}

/// Scenario: connections come one after the other. Guarantee: the first may read ahead much, later ones less, none less than the smallest frame; all
/// within a quarter of the budget; everything is given back.
#[tokio::test]
async fn the_first_may_read_ahead_more() {
    let seats = Seats::new(Budget::of(1 << 30));
    let mut aheads = vec![];
    let mut held = vec![];
    while let Some(seat) = seats.try_take(false, 0, &stats()) {
        aheads.push(seat.ahead());
        held.push(seat);
    }
    assert_eq!((aheads[0], aheads.last()), (LARGEST_AHEAD, Some(&SMALLEST_AHEAD)));
    assert!(aheads.is_sorted_by(|a, b| a >= b));
    assert!(held.len() > 3500, "{}", held.len());
    assert!(seats.budget().connection_bytes() <= 256 << 20);
    drop(held);
    assert_eq!((seats.budget().connection_bytes(), seats.0.ahead.load(Relaxed)), (0, 0));
    assert!(seats.0.taken.lock().seats.is_empty());
}

/// Scenario: all seats are taken by connections that never finish a head, are idle, or busy. Guarantee: a new one gets in at once at the cost of the
/// half-open one that has waited longest, then of the idle ones; never of a busy one, where it is turned away after a while.
#[tokio::test(start_paused = true)]
async fn who_can_be_spared_leaves() {
    let seats = Seats::new(Budget::of(1000));
    let counts = stats();
    let mut others = vec![];
    for n in 0..flow::budget::FREE_CONNECTIONS {
        let seat = seats.try_take(false, 0, &counts).unwrap();
        match n {
            0 | 1 => {}
            2 => seat.is_idle(),
            3 => seat.is_busy(1, &HalfOpen::default()),
            _ => seat.is_busy(2, &HalfOpen::default()),
        }
        others.push(sit(seat).0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(REST).await;
    let mut newcomers = vec![];
    for gone in 0..3 {
        let seat = seats.take(false, 0, &counts).await.unwrap();
        seat.is_busy(1, &HalfOpen::default());
        newcomers.push(seat);
        let closed: Vec<usize> = (0..others.len()).filter(|n| others[*n].is_finished()).collect();
        assert_eq!(closed, (0..=gone).collect::<Vec<_>>());
    }
    assert_eq!((counts.closed_half_open.get(), counts.closed_idle.get()), (2, 1));
    let before = flow::clock::now();
    assert!(seats.take(false, 0, &counts).await.is_none());
    assert_eq!(flow::clock::now() - before, PATIENCE);
    others.iter().for_each(JoinHandle::abort);
}

/// Scenario: somebody waits for a seat, and one is given back. Guarantee: it has it at once.
#[tokio::test(start_paused = true)]
async fn a_free_seat_is_taken() {
    let seats = Seats::new(Budget::of(1000));
    let counts = stats();
    let all = fill(&seats, &counts).await;
    // They begin to be closed, or one leaves by itself: either way there is room.
    all[7].abort();
    assert!(seats.take(false, 0, &counts).await.is_some());
    all.iter().for_each(JoinHandle::abort);
}
