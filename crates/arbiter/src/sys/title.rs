//! The title that ps(1) shows: the memory in which the kernel has put the command line (proc_pid_cmdline(5)).

use std::ffi::{CStr, c_char};
use std::fs;
use std::sync::OnceLock;

/// The memory to write into: where it is, and how long.
static AREA: OnceLock<Option<(usize, usize)>> = OnceLock::new();

// SAFETY: that is its type in every C library (environ(7)).
unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Makes room for titles, which needs the command line not to be read from the process's memory again
/// (`std::env::args_os`). With `alone`, which says that this is the only thread, the environment's memory is taken too: the
/// variables are copied elsewhere first.
pub(crate) fn make_room_for_title(alone: bool) {
    AREA.get_or_init(|| {
        let [arguments, arguments_end, environment, environment_end] = area()?;
        let with_environment = alone && arguments_end == environment && move_environment(environment, environment_end);
        let end = if with_environment { environment_end } else { arguments_end };
        (end > arguments + 1).then_some((arguments, end - arguments))
    });
}

/// Shows this title, cut to the room that there is; nothing without [`make_room_for_title`].
pub(crate) fn set_title(title: &[u8]) {
    let Some(Some((start, length))) = AREA.get() else { return };
    // The last byte stays a NUL: what argv points to ends there at the latest.
    let title = &title[..title.len().min(length - 1)];
    // SAFETY: the kernel has put the command line, and with it the environment's strings, there for this process to keep
    // and to change (main(argc, argv) of C11, 5.1.2.2.1); it is mapped and writable for as long as the process lives. Whoever reads it
    // as strings meanwhile (argv) finds a NUL in it, and only the main thread writes.
    unsafe {
        let area = *start as *mut u8;
        area.copy_from_nonoverlapping(title.as_ptr(), title.len());
        area.add(title.len()).write_bytes(0, length - title.len());
    }
}

/// Where the kernel has put the arguments and the environment: proc_pid_stat(5), fields 48 to 51.
fn area() -> Option<[usize; 4]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(45).take(4);
    let found: Vec<usize> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    found.try_into().ok().filter(|area: &[usize; 4]| area.is_sorted() && area[0] > 0)
}

/// Copies what `environ` points to in that range; whether nothing of it is left there.
fn move_environment(start: usize, end: usize) -> bool {
    // SAFETY: this is the only thread, as the caller has said, so nobody changes the environment meanwhile. `environ` is null
    // or an array of pointers to strings that ends in a null. The copies are never freed, as setenv(3) would not free
    // what they replace either.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            if (start..end).contains(&(*entry as usize)) {
                *entry = CStr::from_ptr(*entry).to_owned().into_raw();
            }
            entry = entry.add(1);
        }
    }
    true
}
