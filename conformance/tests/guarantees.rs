//! No guarantee without a case.

mod map_place;

use map_place::MapPlace;
use vellum_conformance::{OverStore, cases, store_cases};

/// The numbers of `docs/contract.md`.
fn numbers() -> impl Iterator<Item = String> {
    let letters = [("T", 8), ("I", 9), ("K", 5), ("V", 9), ("D", 6), ("L", 4), ("C", 2)];
    letters.into_iter().flat_map(|(letter, last)| (1..=last).map(move |n| format!("{letter}{n}")))
}

#[test]
fn every_guarantee_has_a_case_of_its_own_number() {
    let cases = cases::<OverStore<MapPlace>>();
    for number in numbers() {
        // Random histories check many at once: they do not count here.
        let named = cases.iter().filter(|case| case.module != "model");
        let own = named.filter(|case| case.guarantees.contains(&number.as_str())).count();
        assert!(own > 0, "{number} has no case");
    }
}

#[test]
fn every_case_names_guarantees_that_there_are() {
    let known: Vec<_> = numbers().collect();
    let all = cases::<OverStore<MapPlace>>().into_iter().map(|c| (c.name, c.guarantees));
    let stores = store_cases::<MapPlace>().into_iter().map(|c| (c.name, c.guarantees));
    for (name, guarantees) in all.chain(stores) {
        assert!(!guarantees.is_empty(), "{name} names none");
        for number in guarantees {
            assert!(known.iter().any(|n| n == number), "{name} names {number}");
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = cases::<OverStore<MapPlace>>().iter().map(|c| c.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn contract_page_has_the_numbers_checked_here() {
    let page = include_str!("../../docs/contract.md");
    let on_page = page.lines().filter_map(|line| {
        let number = line.strip_prefix("- **")?.split_once("**")?.0;
        Some(number.to_owned())
    });
    assert_eq!(on_page.collect::<Vec<_>>(), numbers().collect::<Vec<_>>());
}
