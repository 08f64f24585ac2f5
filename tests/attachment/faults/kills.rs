use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use super::{
    checks::{Neighbourhood, hash, listed_whole},
    worker::{LONG, Role, Worker},
};
use crate::support::{open_at, start};

const KILLS: u64 = 60;

/// The longest that a worker lives once it is at work: some times as long as a stage takes.
const LIFE: Duration = Duration::from_millis(30);

/// Lets a worker live for some time. It waits for nothing: the moment of the kill is what is tried.
fn live(random: &mut fastrand::Rng) {
    thread::sleep(LIFE.mul_f64(random.f64()));
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_moment_leaves_every_attachment_whole_or_absent() {
    let neighbourhood = Neighbourhood::new();
    let mut random = fastrand::Rng::with_seed(1);
    let mut leftovers = 0;
    for kill in 0..KILLS {
        let worker = Worker::start(Role::Hour, &neighbourhood.store());
        // Some are killed while they start and open the store.
        if kill % 6 != 0 {
            worker.ready();
        }
        live(&mut random);
        let promised = worker.kill();
        leftovers += neighbourhood.check_whole(&promised).await;
        neighbourhood.empty().await;
    }
    assert!(leftovers > 0, "none was killed while it wrote");
}

#[tokio::test]
async fn processes_that_are_killed_do_not_hold_up_one_that_lives() {
    let neighbourhood = Neighbourhood::new();
    let store = neighbourhood.store();
    let mut random = fastrand::Rng::with_seed(2);
    let survivor = Worker::start(Role::Persistent, &store);
    survivor.ready();
    let mut promised = Vec::new();
    for _ in 0..KILLS / 3 {
        let pair = [Role::Hour, Role::Sweep].map(|role| Worker::start(role, &store));
        pair.iter().for_each(Worker::ready);
        live(&mut random);
        for worker in pair {
            promised.extend(worker.kill());
        }
        neighbourhood.check_outside();
    }
    let (status, staged) = survivor.stop();
    assert!(status.success(), "the survivor ended with {status}");
    assert!(!staged.is_empty(), "the survivor was held up");
    promised.extend(staged);
    neighbourhood.check_whole(&promised).await;
}

#[tokio::test]
async fn two_processes_on_one_store_keep_what_either_has_staged() {
    let neighbourhood = Neighbourhood::new();
    let pair = [Role::Hour, Role::Persistent].map(|role| {
        let worker = Worker::start(role, &neighbourhood.store());
        worker.ready();
        worker
    });
    thread::sleep(10 * LIFE);
    let mut promised = Vec::new();
    for worker in pair {
        let (status, staged) = worker.stop();
        assert!(status.success(), "a worker ended with {status}");
        promised.extend(staged);
    }
    neighbourhood.check_whole(&promised).await;
}

#[tokio::test]
async fn a_sweep_that_is_killed_half_way_leaves_the_rest_to_the_next() {
    const FILES: usize = 3_000;
    let neighbourhood = Neighbourhood::new();
    let root = neighbourhood.store();
    let hash = hash(b"x");
    let mut stopped_half_way = false;
    for _ in 0..20 {
        for index in 0..FILES {
            let mut file = File::create(root.join(format!("{hash}-{index}"))).unwrap();
            file.write_all(b"x").unwrap();
            file.set_modified(start()).unwrap();
        }
        let sweepers = [(); 2].map(|()| Worker::start(Role::Sweep, &root));
        let begun_by = Instant::now() + LONG;
        while neighbourhood.files().len() == FILES {
            assert!(Instant::now() < begun_by, "no sweep begins");
            thread::yield_now();
        }
        sweepers
            .into_iter()
            .for_each(|sweeper| drop(sweeper.kill()));

        let left = neighbourhood.files();
        stopped_half_way |= !left.is_empty();
        let (store, _) = open_at(&root, start());
        assert_eq!(listed_whole(&store).await, left);
        neighbourhood.check_whole(&[]).await;
        assert_eq!(neighbourhood.files(), BTreeSet::new());
        if stopped_half_way {
            return;
        }
    }
    panic!("each sweep was done before it was killed");
}
