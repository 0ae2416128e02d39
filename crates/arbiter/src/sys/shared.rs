use std::io;
use std::num::NonZeroUsize;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use crate::page::Page;

/// A zeroed page that this process and its children share. It stays mapped for good; its owner uses it again.
pub(crate) fn map_page() -> io::Result<&'static Page> {
    let length = NonZeroUsize::new(size_of::<Page>()).expect("invariant: a page has fields");
    // SAFETY: a new anonymous mapping, wherever the kernel likes, touches nothing that exists.
    let mapping =
        unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED) }?;
    // SAFETY: the mapping is page-aligned, large enough, zeroed (which is a valid Page: it has nothing but atomic
    // integers), never unmapped, and only ever reached through shared references to atomics.
    Ok(unsafe { mapping.cast::<Page>().as_ref() })
}
