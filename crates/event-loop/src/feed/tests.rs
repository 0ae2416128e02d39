use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn piece(length: usize) -> Fetched {
    Ok(Some(vec![b'a'; length].into()))
}

fn length(portion: Result<Portion, String>) -> usize {
    match portion.unwrap() {
        Portion::Piece(piece) => piece.len(),
        Portion::End | Portion::Dry | Portion::Parked => 0,
    }
}

#[test]
fn pieces_come_out_as_they_went_in_and_then_the_end() {
    let (feeder, feed) = feed();
    feeder.put(piece(5_000), false);
    feeder.put(piece(6_000), false);
    assert_eq!(feeder.put(Ok(None), true).next, Next::Stop);
    assert_eq!([length(feed.take()), length(feed.take())], [5_000, 6_000]);
    assert!(matches!(feed.take(), Ok(Portion::End)));
    let (feeder, feed) = super::feed();
    feeder.put(piece(1), false);
    assert_eq!(feeder.put(Err("it broke".into()), true).next, Next::Stop);
    assert_eq!((length(feed.take()), feed.take().unwrap_err()), (1, "it broke".into()));
}

#[test]
fn short_pieces_go_together() {
    let (feeder, feed) = feed();
    for length in [10, 20, 5_000, 3_000, 3_000, 3_000, 3_000, 3_000, 3_000] {
        feeder.put(piece(length), false);
    }
    assert_eq!([(); 4].map(|()| length(feed.take())), [30, 5_000, 15_000, 3_000]);
}

#[test]
fn the_loop_is_told_once_when_it_has_asked_in_vain() {
    let (feeder, feed) = feed();
    assert!(!feeder.put(piece(1), false).hungry);
    assert_eq!(length(feed.take()), 1);
    assert!(matches!(feed.take(), Ok(Portion::Dry)));
    assert!(feeder.put(piece(1), false).hungry);
    assert!(!feeder.put(Ok(None), true).hungry);
}

#[test]
fn a_body_that_is_parked_is_asked_again_when_all_is_sent() {
    let (feeder, feed) = feed();
    assert!(feeder.park(Body::from("rest")).is_some(), "there is nothing to wait for");
    assert_eq!(feeder.put(piece(MOST), false).next, Next::Wait);
    assert!(feeder.park(Body::from("rest")).is_none());
    assert_eq!(length(feed.take()), MOST);
    assert!(matches!(feed.take(), Ok(Portion::Parked)));
    let (feeder, mut body) = feed.unpark().unwrap();
    assert!(feeder.put(Ok(body.next_chunk().transpose().unwrap()), true).hungry);
    assert_eq!(length(feed.take()), 4);
}

/// It goes on when there is room, and when the client has left.
#[test]
fn a_thread_waits_for_the_client() {
    let (feeder, feed) = feed();
    let thread = thread::spawn(move || {
        let mut put = 0;
        while feeder.put(piece(MOST / 2), false).next != Next::Stop {
            put += 1;
            feeder.wait();
        }
        put
    });
    let began = Instant::now();
    let mut taken = 0;
    while taken < 10 * MOST {
        assert!(began.elapsed() < Duration::from_secs(10));
        taken += length(feed.take());
    }
    drop(feed);
    assert!((20..25).contains(&thread.join().unwrap()));
}
