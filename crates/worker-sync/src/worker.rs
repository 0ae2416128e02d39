use std::io;
use std::sync::Arc;
use std::time::Duration;

use rserve_arbiter::{BootError, Context, Drain, Worker, WorkerClass};
use rserve_event_loop::{EventLoop, Site, Taken, quiet_app_panics};
use rserve_http::Handler;

/// The class, for the registry.
///
/// ```
/// assert_eq!(rserve_worker_sync::CLASS.name, "sync");
/// ```
pub const CLASS: WorkerClass<Site> =
    WorkerClass { name: "sync", summary: "one request at a time in each process", build };

/// After this long in one step the heart is to beat, though there is more to do.
const STEP: Duration = Duration::from_millis(20);

struct SyncWorker {
    events: EventLoop,
    app: Arc<dyn Handler>,
}

fn build(site: &Site, cx: &mut Context) -> Result<Box<dyn Worker>, BootError> {
    let app = site.blocking_app(CLASS.name)?;
    quiet_app_panics();
    Ok(Box::new(SyncWorker { events: EventLoop::new(cx, site.http.clone())?, app }))
}

impl SyncWorker {
    fn serve(&mut self, mut request: Taken, cx: &Context) -> io::Result<()> {
        cx.begin_request(self.events.now(), request.line());
        let answer = request.answer(&*self.app);
        // Sending may run the app too: it gives the body piece by piece.
        let sent = self.events.respond(cx, request, answer);
        cx.end_request();
        sent
    }
}

impl Worker for SyncWorker {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        let until = self.events.now() + STEP;
        loop {
            let go_on = self.events.poll(cx)?;
            while let Some(request) = self.events.next_request(cx)? {
                self.serve(request, cx)?;
                if self.events.now() >= until {
                    return self.events.flush();
                }
            }
            if !go_on || self.events.now() >= until {
                return Ok(());
            }
        }
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        self.serve_step(cx)?;
        Ok(match self.events.len() {
            0 => Drain::Done,
            in_flight => Drain::Pending { in_flight },
        })
    }

    fn handle_quit(&mut self, _: &mut Context) {
        self.events.quit();
    }
}
