use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};

thread_local! {
    static IN_APP: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps a panic of the app from being printed, since [`Taken::answer`](crate::Taken::answer) logs it in one line,
/// and leaves all other panics to the hook there is. Call it once in a worker process, before the first request.
pub fn quiet_app_panics() {
    let other = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IN_APP.get() {
            PLACE.set(info.location().map(ToString::to_string));
        } else {
            other(info);
        }
    }));
}

/// Calls into the app. A panic becomes an error: its message, and its place if [`quiet_app_panics`] was called.
///
/// For worker classes that do not run the app by [`Taken::answer`](crate::Taken::answer).
///
/// # Errors
///
/// What the app panicked with, in words.
///
/// ```
/// assert_eq!(rserve_event_loop::catch_app_panic(|| 7), Ok(7));
/// ```
pub fn catch_app_panic<T>(app: impl FnOnce() -> T) -> Result<T, String> {
    IN_APP.set(true);
    // What the app shares between requests is its own: a lock that it poisoned tells it so itself.
    let result = catch_unwind(AssertUnwindSafe(app));
    IN_APP.set(false);
    result.map_err(|panic| {
        let message = message(&*panic);
        match PLACE.take() {
            Some(place) => format!("{message} (at {place})"),
            None => message.to_owned(),
        }
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it gave no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch_app_panic(|| 7), Ok(7));
        assert!(catch_app_panic(|| panic!("out of {}", "beans")).unwrap_err().starts_with("out of beans"));
        assert!(catch_app_panic(|| panic::panic_any(7)).unwrap_err().starts_with("it gave no message"));
    }
}
