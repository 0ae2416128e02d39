//! Worker classes with one fault each.

use std::{
    io::{self, Read, Write},
    process::Command,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rserve::{Answer, App, BootError, Built, Context, Drain, Handler, Outcome, Site, Worker, WorkerClass};
use rserve_event_loop::{EventLoop, Taken};

pub(crate) const CLASSES: &[WorkerClass<Site>] = &[
    class("naive", |site, cx| altered(site, cx, Fault::Naive)),
    class("deaf", |site, cx| altered(site, cx, Fault::Deaf)),
    class("busy", |site, cx| altered(site, cx, Fault::Busy)),
    class("endless", |site, cx| altered(site, cx, Fault::Endless)),
    class("hasty", |site, cx| altered(site, cx, Fault::Hasty)),
    class("litters", |site, cx| {
        Command::new("sleep").arg("1000").spawn()?;
        altered(site, cx, Fault::Litters)
    }),
    class("careless", |site, cx| threads(site, cx, usize::MAX, false)),
    class("nameless", |site, cx| threads(site, cx, usize::MAX, true)),
    class("lonely", |site, cx| threads(site, cx, 1, true)),
    class("blocks", |_, _| canned(Slip::Blocks)),
    class("touchy", |_, _| canned(Slip::Touchy)),
    class("drops-tickets", |_, _| canned(Slip::DropsTickets)),
    class("counts-nothing", |_, _| canned(Slip::CountsNothing)),
    class("keeps-open", |_, _| canned(Slip::KeepsOpen)),
];

const fn class(name: &'static str, build: fn(&Site, &mut Context) -> Built) -> WorkerClass<Site> {
    WorkerClass { name, summary: "wrong", build }
}

#[derive(PartialEq)]
enum Fault {
    /// Stops accepting when it is told to finish, and leaves its queue.
    Naive,
    /// Goes on in its step for ever.
    Deaf,
    /// Returns from its step only when there is nothing to do.
    Busy,
    /// Does not know what it is told, and never says Done.
    Endless,
    /// Says Done while it holds connections.
    Hasty,
    /// Leaves a process behind.
    Litters,
}

/// The class `sync`, but for a fault.
struct Altered {
    sync: Box<dyn Worker>,
    fault: Fault,
    leaving: bool,
}

fn altered(site: &Site, cx: &mut Context, fault: Fault) -> Built {
    let sync = (rserve_worker_sync::CLASS.build)(site, cx)?;
    Ok(Box::new(Altered { sync, fault, leaving: false }))
}

impl Worker for Altered {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        if self.leaving && self.fault == Fault::Naive {
            return Ok(());
        }
        loop {
            let begun = Instant::now();
            self.sync.serve_step(cx)?;
            let was_idle = begun.elapsed() >= cx.wait_limit();
            if !(self.fault == Fault::Deaf || self.fault == Fault::Busy && !was_idle) {
                return Ok(());
            }
        }
    }

    fn handle_exit(&mut self, cx: &mut Context) {
        self.leaving = true;
        self.sync.handle_exit(cx);
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        match self.fault {
            Fault::Naive => Ok(Drain::Done),
            Fault::Endless => self.sync.drain_step(cx).map(|_| Drain::Pending { in_flight: 1 }),
            Fault::Hasty => self.sync.drain_step(cx).map(|_| Drain::Done),
            Fault::Deaf | Fault::Busy | Fault::Litters => self.sync.drain_step(cx),
        }
    }
}

/// Runs each request in a thread of its own, and never says which. `careful`: it says Done only when they are.
struct Threads {
    events: EventLoop,
    app: Arc<dyn Handler>,
    answers: Receiver<(Taken, Answer)>,
    to_answer: Sender<(Taken, Answer)>,
    running: usize,
    most: usize,
    careful: bool,
}

fn threads(site: &Site, cx: &mut Context, most: usize, careful: bool) -> Built {
    let App::Blocking(app) = &site.app else { return Err(BootError::worker("a blocking app is needed")) };
    let events = EventLoop::new(cx, site.http.clone())?;
    let (to_answer, answers) = channel();
    Ok(Box::new(Threads { events, app: Arc::clone(app), answers, to_answer, running: 0, most, careful }))
}

impl Worker for Threads {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        while let Ok((taken, answer)) = self.answers.recv_timeout(Duration::from_millis(5)) {
            self.running -= 1;
            self.events.respond(cx, taken, answer)?;
        }
        if self.running >= self.most {
            return self.events.flush(); // nobody else is served, and the heart beats on
        }
        self.events.poll(cx)?;
        while let Some(mut taken) = self.events.next_request(cx)? {
            let (app, answers) = (Arc::clone(&self.app), self.to_answer.clone());
            self.running += 1;
            thread::spawn(move || {
                let answer = taken.answer(&*app);
                let _ = answers.send((taken, answer));
            });
        }
        self.events.flush()
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        self.serve_step(cx)?;
        Ok(match self.events.len() {
            in_flight @ 1.. if self.careful => Drain::Pending { in_flight },
            _ => Drain::Done,
        })
    }
}

#[derive(PartialEq)]
enum Slip {
    /// Waits for the client in its step.
    Blocks,
    /// Takes a client that left for an error of its own.
    Touchy,
    /// Never says how a connection ended.
    DropsTickets,
    /// Never says that a request came.
    CountsNothing,
    /// Does not tell the client that it closes.
    KeepsOpen,
}

/// One connection at a time, always the same response.
struct Canned(Slip);

fn canned(slip: Slip) -> Built {
    Ok(Box::new(Canned(slip)))
}

impl Worker for Canned {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
        let Some(mut accepted) = cx.accept(listener)? else { return Ok(()) };
        accepted.stream.set_nonblocking(false)?;
        if self.0 != Slip::Blocks {
            accepted.stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        }
        let read = accepted.stream.read(&mut [0; 4096]).unwrap_or(0);
        if read == 0 && self.0 == Slip::Touchy {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.0 != Slip::CountsNothing {
            accepted.ticket.request(false);
        }
        let close = if self.0 == Slip::KeepsOpen { "" } else { "Connection: close\r\n" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n{close}\r\n");
        let sent = accepted.stream.write_all(format!("{head}Hello, World!").as_bytes());
        if self.0 != Slip::DropsTickets {
            accepted.ticket.finish(if sent.is_ok() { Outcome::Answered } else { Outcome::ClientGone });
        }
        Ok(())
    }

    fn drain_step(&mut self, _: &mut Context) -> io::Result<Drain> {
        Ok(Drain::Done)
    }
}
