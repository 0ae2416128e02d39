//! The listings of the guide are this example's, so that what it shows is built and tested.

use std::{fs, path::Path};

#[test]
fn the_listings_of_the_guide_are_in_the_example() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(here.join(path)).expect("it is in the repository");
    let files = ["src/main.rs", "src/worker.rs", "src/connection.rs", "tests/conformance.rs"].map(read);
    let guide = read("../../docs/custom-workers.md");
    let listings: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(listings.len() > 5, "the guide has only {} listings", listings.len());
    for listing in listings {
        assert!(files.iter().any(|file| file.contains(listing)), "not in the example:\n{listing}");
    }
}
