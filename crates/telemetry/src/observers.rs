use http::HeaderName;
use rserve_event_loop::{Answered, Census, Observer, Watch};

/// Several observers as one.
///
/// ```
/// use rserve_event_loop::Watch;
/// use rserve_telemetry::Observers;
///
/// let watch = Observers::default().watch();
/// assert!(watch.observer().is_none());
/// ```
#[derive(Default)]
pub struct Observers {
    all: Vec<Box<dyn Observer>>,
    fields: Vec<HeaderName>,
}

impl Observers {
    /// And this one.
    #[must_use]
    pub fn and(mut self, observer: impl Observer + 'static) -> Self {
        self.fields.extend_from_slice(observer.fields());
        self.all.push(Box::new(observer));
        self
    }

    /// Has them told; nobody if there is none.
    #[must_use]
    pub fn watch(self) -> Watch {
        if self.all.is_empty() { Watch::default() } else { Watch::by(self) }
    }
}

impl Observer for Observers {
    fn answered(&self, answered: &Answered<'_>) {
        self.all.iter().for_each(|observer| observer.answered(answered));
    }

    fn connections(&self, census: &Census) {
        self.all.iter().for_each(|observer| observer.connections(census));
    }

    fn flush(&self) {
        self.all.iter().for_each(|observer| observer.flush());
    }

    fn looks_at_response(&self) -> bool {
        self.all.iter().any(|observer| observer.looks_at_response())
    }

    fn fields(&self) -> &[HeaderName] {
        &self.fields
    }
}
