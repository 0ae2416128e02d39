use super::*;

const US: Duration = Duration::from_micros(1);
const NOBODY: Wake = Wake { lingering: false, sleeping: 0 };

const fn sleeping(sleeping: usize) -> Wake {
    Wake { lingering: false, sleeping }
}

/// Jobs are their numbers, and nothing changes when they are done.
fn queue(threads: usize, quick: bool) -> (Queue<u32, u32>, Instant) {
    let now = Instant::now();
    let mut queue = Queue::new(threads, now);
    if quick {
        queue.wary = 0;
    }
    (queue, now)
}

#[test]
fn a_quick_app_gets_one_thread_and_another_when_a_job_has_waited() {
    let (mut queue, now) = queue(4, true);
    queue.push(now, 0..8);
    assert_eq!(queue.wake_threads(now), sleeping(1));
    assert_eq!(queue.wait(), PATIENCE);
    assert_eq!(queue.take(now), Some(0));
    assert_eq!(queue.wake_threads(now + 900 * US), NOBODY);
    queue.bring(now, now + 900 * US, 0);
    assert_eq!(queue.take(now + 900 * US), Some(1));
    // The first has not taken a millisecond, but the third job has waited for one.
    assert_eq!(queue.wake_threads(now + PATIENCE), sleeping(1));
    assert_eq!(queue.wake_threads(now + PATIENCE), sleeping(1));
}

#[test]
fn each_job_of_a_slow_app_gets_a_thread_at_once() {
    let (mut queue, now) = queue(4, false);
    queue.push(now, 0..2);
    assert_eq!(queue.wake_threads(now), sleeping(2));
    assert_eq!(queue.wait(), Duration::MAX);
    queue.push(now, 2..8);
    assert_eq!(queue.wake_threads(now), sleeping(2));
    assert_eq!(queue.wake_threads(now), NOBODY);
}

#[test]
fn after_a_refusal_another_is_woken_a_little_later() {
    let (mut queue, now) = queue(2, false);
    queue.push(now, [0]);
    assert_eq!(queue.wake_threads(now), sleeping(1));
    assert_eq!(queue.wait(), Duration::MAX);
    queue.refuse(now);
    assert_eq!((queue.wake_threads(now), queue.wait()), (NOBODY, PATIENCE));
    assert_eq!(queue.wake_threads(now + PATIENCE), sleeping(1));
}

#[test]
fn a_job_that_does_not_end_makes_the_app_slow() {
    let (mut queue, now) = queue(4, true);
    queue.push(now, 0..5);
    assert_eq!(queue.wake_threads(now), sleeping(1));
    assert_eq!(queue.take(now), Some(0));
    assert_eq!(queue.wake_threads(now + PATIENCE), sleeping(3));
}

#[test]
fn an_app_must_be_quick_for_a_while_to_be_trusted() {
    let (mut queue, mut now) = queue(1, false);
    for _ in 0..2 {
        for _ in 0..WARY {
            assert!(queue.app_is_slow());
            queue.push(now, [0]);
            queue.wake_threads(now);
            assert_eq!(queue.take(now), Some(0));
            queue.bring(now, now + US, 0);
            now += US;
        }
        assert!(!queue.app_is_slow());
        queue.push(now, [0]);
        assert_eq!(queue.take(now), Some(0));
        queue.bring(now, now + PATIENCE, 0);
        now += PATIENCE;
    }
}

#[test]
fn the_loop_is_woken_for_a_batch_for_the_last_or_for_one_that_has_waited() {
    let (mut queue, now) = queue(2, true);
    queue.push(now, 0..100);
    queue.wake_threads(now);
    queue.wait();
    let mut one = |now, last| {
        queue.take(now);
        queue.bring(now, now, 0);
        let woken = queue.wake_loop(now, last).is_some();
        if woken {
            assert_eq!(queue.wake_loop(now, true), None, "it has been woken already");
            queue.collect(&mut Vec::new());
            queue.wait();
        }
        woken
    };
    for job in 1..=BATCH {
        assert_eq!(one(now, false), job == BATCH);
    }
    assert!(one(now, true));
    assert!(!one(now, false) && !one(now + 900 * US, false) && one(now + PATIENCE, false));
    queue.wary = WARY;
    queue.take(now);
    queue.bring(now, now, 0);
    assert!(queue.wake_loop(now, false).is_some(), "the next one may be slow");
}

#[test]
fn the_loop_does_not_wait_while_something_is_done() {
    let (mut queue, now) = queue(2, true);
    assert_eq!(queue.wait(), Duration::MAX);
    queue.push(now, [1]);
    queue.wake_threads(now);
    queue.take(now);
    queue.bring(now, now, 1);
    assert_eq!(queue.wake_loop(now, true), Some(LoopWait::Poll));
    assert_eq!(queue.wait(), Duration::ZERO);
    let mut done = Vec::new();
    queue.collect(&mut done);
    assert_eq!((done, queue.wait()), (vec![1], Duration::MAX));
}

#[test]
fn the_loop_waits_at_the_queue_while_jobs_are_done_almost_at_once() {
    let (mut queue, now) = queue(2, true);
    let job = |queue: &mut Queue<u32, u32>, takes| {
        queue.push(now, [0]);
        queue.wake_threads(now);
        let here = queue.wait_here();
        queue.wait();
        queue.take(now);
        queue.bring(now, now + takes, 0);
        queue.collect(&mut Vec::new());
        here
    };
    assert!(!job(&mut queue, US), "nothing is known of the app yet");
    for _ in 0..50 {
        job(&mut queue, US);
    }
    assert!(job(&mut queue, 100 * US));
    assert!(!job(&mut queue, US), "one took longer");
    for _ in 0..50 {
        job(&mut queue, US);
    }
    assert!(!queue.wait_here(), "there is nothing to wait for");
    queue.push(now, 0..2);
    assert!(queue.wait_here() && queue.loop_waits_here());
    queue.take(now);
    queue.bring(now, now, 0);
    assert_eq!(queue.wake_loop(now, true), Some(LoopWait::Here));
    assert!(!queue.loop_waits_here() && !queue.wait_here(), "something is done");
}

#[test]
fn the_thread_that_lingers_is_woken_first_and_only_one_lingers() {
    let (mut queue, now) = queue(3, false);
    queue.push(now, 0..2);
    assert_eq!(queue.wake_threads(now), sleeping(2));
    assert_eq!((queue.take(now), queue.take(now)), (Some(0), Some(1)));
    queue.bring(now, now, 0);
    let place = queue.linger().unwrap();
    queue.bring(now, now, 1);
    assert_eq!(queue.linger(), None);
    queue.sleep();
    queue.push(now, 2..4);
    assert_eq!(queue.linger(), None, "there is something to do");
    assert_eq!(queue.wake_threads(now), Wake { lingering: true, sleeping: 1 });
    assert_eq!((queue.take(now), queue.take(now)), (Some(2), Some(3)));
    queue.bring(now, now, 2);
    let another = queue.linger().unwrap();
    assert!(queue.stop_lingering(place), "it was woken, whoever lingers now");
    assert!(!queue.stop_lingering(another));
    queue.push(now, [4]);
    assert_eq!(queue.wake_threads(now), sleeping(1));
}

#[test]
fn it_is_stuck_when_every_thread_has_had_its_job_for_long() {
    let (mut queue, now) = queue(2, false);
    let second = Duration::from_secs(1);
    queue.push(now, 0..3);
    queue.wake_threads(now);
    queue.take(now);
    assert_eq!(queue.stuck_since(), Some(now), "one thread is awake and does not come for the second job");
    queue.take(now + second);
    assert_eq!(queue.stuck_since(), Some(now + second));
    queue.push(now + 5 * second, [3]);
    assert_eq!(queue.stuck_since(), Some(now + second));
    queue.bring(now + second, now + 6 * second, 1);
    queue.take(now + 6 * second);
    assert_eq!(queue.stuck_since(), Some(now + 6 * second));
    queue.bring(now, now + 7 * second, 0);
    queue.take(now + 7 * second);
    queue.bring(now + 6 * second, now + 8 * second, 2);
    queue.sleep();
    assert_eq!(queue.stuck_since(), None, "one thread is free");
}

#[test]
fn a_thread_that_waits_for_a_client_is_not_stuck() {
    let (mut queue, now) = queue(1, false);
    let second = Duration::from_secs(1);
    queue.push(now, [1]);
    queue.wake_threads(now);
    queue.take(now);
    assert_eq!(queue.stuck_since(), Some(now));
    queue.bring_some(now + second, 1);
    assert_eq!(queue.stuck_since(), Some(now + second));
    queue.begin_wait();
    assert_eq!(queue.stuck_since(), None);
    queue.end_wait(now + 5 * second);
    assert_eq!(queue.stuck_since(), Some(now + 5 * second));
    queue.bring(now, now + 6 * second, 1);
    assert_eq!(queue.stuck_since(), None);
}
