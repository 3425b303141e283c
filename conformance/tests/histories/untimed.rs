//! What is said of small histories: why a read has no explanation, what was counted, how
//! far the orders go, and which outcomes were guessed.

use super::*;

fn history(text: &str) -> Untimed {
    text.parse().unwrap()
}

#[test]
fn read_that_nothing_can_explain_is_told_with_the_reason() {
    for (text, class, why) in [
        ("r(x,1)", Class::Garbage, "r(x,1) read 1, which nobody wrote."),
        ("r(x,[7])", Class::Garbage, "read 7, which nobody wrote."),
        ("w(y,1)\nr(x,1)", Class::Garbage, "nobody wrote"),
        ("w(y,1) r(x,1)", Class::Garbage, "nobody wrote"),
        ("w(x,2) r(x,1)", Class::Garbage, "nobody wrote"),
        ("a(y,1) r(x,[1])", Class::Garbage, "nobody wrote"),
        ("a(x,2) r(x,[2 1])", Class::Garbage, "read 1, which nobody wrote"),
        ("w(x,1)!\nr(x,1)", Class::G1a, "read 1, which is of an aborted transaction."),
        ("a(x,1)!\nr(x,[1])", Class::G1a, "is of an aborted transaction"),
        ("w(x,1) w(x,2)\nr(x,1)", Class::G1b, "read 1, which was written over before its commit."),
        ("w(x,1) d(x)\nr(x,1)", Class::G1b, "was written over before its commit"),
    ] {
        let anomaly = check_untimed(&history(text), Level::Snapshot).unwrap_err();
        assert_eq!(anomaly.class(), class, "{text}: {anomaly}");
        assert!(anomaly.to_string().contains(why), "{text}: {anomaly}");
    }
    for text in [
        "w(x,1) r(x,1) w(x,2)",
        "a(x,1) r(x,[1])",
        // Values may repeat: one that is final is enough, in either order.
        "w(x,1) w(x,2)\nw(x,1)\nr(x,1)",
        "w(x,1)\nw(x,1) w(x,2)\nr(x,1)",
        "w(x,1)!\nw(x,1)\nr(x,1)",
        // What an aborted transaction saw is not judged.
        "r(x,9)!",
    ] {
        check_untimed(&history(text), Level::Strict).unwrap();
    }
}

#[test]
fn verdict_counts_transactions_operations_and_reads() {
    let text = "w(x,1) r(x,1) a(l,1) | r(l,[1]) d(x)\nw(x,2)! | r(y,_) r(x,_)?";
    let verified = check_untimed(&history(text), Level::Serializable).unwrap();
    assert_eq!([verified.transactions, verified.committed, verified.aborted], [4, 2, 2]);
    assert_eq!([verified.operations, verified.reads], [8, 4]);
    let all = check_untimed(&history("w(x,1)\nr(x,1)"), Level::Strict).unwrap();
    assert_eq!([all.transactions, all.committed, all.aborted, all.reads], [2, 2, 0, 1]);
}

#[test]
fn unknown_outcomes_are_guessed_in_every_way_up_to_twelve_of_them() {
    // A session that ends by looking has one explanation for what it saw.
    for committed in 0..8_u32 {
        let saw = |n: u32| if committed >> n & 1 == 1 { "1" } else { "_" };
        let [x, y, z] = [0, 1, 2].map(saw);
        let text = format!("w(x,1)? | w(y,1)? | w(z,1)? | r(x,{x}) r(y,{y}) r(z,{z})");
        let verified = check_untimed(&history(&text), Level::Serializable).unwrap();
        assert_eq!(verified.committed, u64::from(committed.count_ones()) + 1, "{text}");
    }
    let unknown = |n: usize| vec!["w(x,1)?"; n].join(" | ");
    check_untimed(&history(&unknown(12)), Level::Serializable).unwrap();
    let anomaly = check_untimed(&history(&unknown(13)), Level::Serializable).unwrap_err();
    assert_eq!(anomaly.class(), Class::Undecided);
    assert!(anomaly.to_string().contains("Too many outcomes are unknown."), "{anomaly}");
}

#[test]
fn story_tells_the_longest_order_and_what_cannot_follow() {
    let lists = "a(x,1) | a(x,2) | r(x,[1 2])\nr(x,[2])\nr(x,[]) a(y,5)";
    let anomaly = check_untimed(&history(lists), Level::Serializable).unwrap_err();
    assert_eq!(anomaly.class(), Class::NoOrder);
    let story = "  No order that is serial explains every read. The longest that does so far:
    r(x,[]) a(y,5)
    a(x,1)
    a(x,2)
    r(x,[1 2])
  After it none of these can be next:
    r(x,[2]): it reads x = 2, where 1 2 stands";
    assert!(anomaly.to_string().ends_with(story), "{anomaly}");
    // Of two orders that go equally far, the first that was found.
    let twins = "w(x,1) | r(x,2)\nw(x,2) | r(x,1)\nr(x,_) | r(x,_) w(y,1)";
    let anomaly = check_untimed(&history(twins), Level::Snapshot).unwrap_err();
    let story = "  No order that is of snapshots explains every read. The longest that does so far:
    r(x,_)
    r(x,_) w(y,1)
    w(x,2)
    w(x,1)
    r(x,1)
  After it none of these can be next:
    r(x,2): it reads x = 2, where 1 stands";
    assert!(anomaly.to_string().ends_with(story), "{anomaly}");
}

#[test]
fn read_of_what_its_own_transaction_writes_later_has_no_order() {
    let anomaly = check_untimed(&history("r(x,1) w(x,1)"), Level::Snapshot).unwrap_err();
    assert_eq!(anomaly.class(), Class::NoOrder);
}
