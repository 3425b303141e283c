//! What scripts say of a right and of a wrong backend.

use super::*;
use crate::faults::{Broken, Fault};
use crate::{Capabilities, Effort};

struct Memory;

impl Factory for Memory {
    type Connection = vellum_mem::MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &vellum_core::Options) -> Result<vellum_mem::MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

fn said<F: Factory>(factory: F, script: &str) -> String {
    let cx = Ctx { factory, effort: Effort::small() };
    check(&cx, "none", script).err().map(|e| e.message().to_owned()).unwrap_or_default()
}

#[test]
fn output_must_be_the_script_to_the_last_line() {
    let script = "put a=1\n---\ncommitted @1\n\nget a\n---\n\"1\"\n";
    assert_eq!(said(Memory, script), "");
    let other = said(Memory, &script.replace("\"1\"", "\"2\""));
    assert!(other.starts_with("none, line 7\n  expected \"2\"\n  got      \"1\"\n"), "{other}");
    let less = said(Memory, "put a=1\n---\n");
    assert!(less.starts_with("none has another length"), "{less}");
}

#[test]
fn what_cannot_be_played_fails_the_script() {
    for (commands, why) in [
        ("get", "get of what?"),
        ("shout", "shout is no command"),
        ("a: get k", "a has no open transaction"),
        ("commit", "this needs the prefix of an open transaction"),
        ("peek k", "this needs the prefix of an open write transaction"),
        ("begin", "who begins?"),
        ("a: begin oddly", "begin oddly?"),
        ("diff \"@1\"", "@1 was not shown before"),
        ("put a=1\ndiff \"@0\"", "@0 was not shown before"),
        ("revert vx", "vx is no version number"),
        ("keep some", "keep how many?"),
        ("a: read\na: commit", "a read transaction has nothing to commit"),
    ] {
        let said = said(Memory, &format!("{commands}\n---\n"));
        assert!(said.contains(why), "{commands}: {said}");
    }
}

/// What was asked cannot be done is an answer; that it failed is not.
#[test]
fn failed_io_is_no_output() {
    let script = "a: begin\nsave\n---\nerror: write transactions are open\n";
    let broken = |fault| said(Broken::new(Memory, fault), script);
    let (refused, failed) = (broken(Fault::ReverseSkipsLast), broken(Fault::SaveRefusalMisnamed));
    assert_eq!(refused, "");
    assert!(failed.contains("something stood in the way"), "{failed}");
}
