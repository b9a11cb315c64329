//! The method: statistics, turns, goals, options and tables.

use std::cell::RefCell;

use sse_io_bench::goals::{best_peer, of_reading};
use sse_io_bench::measure::{Contender, Measured, Role, measure};
use sse_io_bench::options::{Options, Part};
use sse_io_bench::reading;
use sse_io_bench::report::time;
use sse_io_bench::statistics::{least, median, percentile, ratio};
use sse_io_bench::table::{Table, number, times};
use sse_io_bench::{allocations, sink::Tally};

fn measured(role: Role, (name, setup): (&str, &str), seconds: &[f64]) -> Measured {
    Measured {
        role,
        name: name.into(),
        setup: setup.into(),
        seconds: seconds.to_vec(),
        allocations: 0,
        wrong: None,
    }
}

#[test]
fn medians_and_percentiles() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    assert!(median(&[]).is_nan());
    let hundred: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(percentile(&hundred, 99), 99.0);
    assert_eq!(percentile(&hundred, 50), 50.0);
    assert_eq!(percentile(&[7.0], 99), 7.0);
    assert_eq!(least(&[2.0, 1.0, 3.0]), 1.0);
}

#[test]
fn a_ratio_is_of_each_round_by_itself() {
    assert_eq!(ratio(&[2.0, 20.0, 6.0], &[1.0, 10.0, 1.0]), 2.0);
    assert_eq!(ratio(&[2.0, 4.0], &[1.0]), 2.0);
}

#[test]
fn everyone_has_a_turn_in_every_round_and_the_order_changes() {
    let turns = &RefCell::new(Vec::new());
    let contender = |name| Contender {
        role: Role::Peer,
        name,
        setup: "",
        timed: Box::new(move || {
            turns.borrow_mut().push(name);
            Tally::default()
        }),
        check: Box::new(|_| Ok(())),
    };
    let measured = measure(vec![contender("a"), contender("b"), contender("c")], 4);
    assert!(measured.iter().all(|one| one.seconds.len() == 4));
    let mut order = turns.take();
    order.dedup();
    assert!(order.len() > 12);
}

#[test]
fn the_wrong_are_neither_measured_nor_ranked() {
    let contender = Contender {
        role: Role::Peer,
        name: "liar",
        setup: "",
        timed: Box::new(Tally::default),
        check: Box::new(|_| Err("nothing came".into())),
    };
    let measured = measure(vec![contender], 3);
    assert_eq!(measured[0].wrong.as_deref(), Some("nothing came"));
    assert!(measured[0].seconds.is_empty());
    assert!(best_peer(&measured, |_| true).is_none());
}

#[test]
fn a_goal_is_held_against_the_best_peer() {
    let all = [
        measured(Role::Ours, reading::DEFAULT, &[1.0, 1.0]),
        measured(Role::Peer, ("slow", "chunks"), &[9.0, 9.0]),
        measured(Role::Peer, ("fast", "chunks"), &[3.0, 3.0]),
        measured(Role::Peer, ("whole", reading::EVENT_AT_A_TIME), &[0.5, 0.5]),
    ];
    let outcome = &of_reading("openai", &all)[0];
    assert_eq!((outcome.ratio, outcome.verdict()), (3.0, "ok"));
    assert_eq!(of_reading("tiny", &all)[0].verdict(), "below");
}

#[test]
fn allocations_are_counted() {
    assert_eq!(
        allocations::during(|| std::hint::black_box(Box::new(1))).1,
        1
    );
    assert_eq!(allocations::during(|| ()).1, 0);
}

#[test]
fn a_table_is_aligned() {
    let mut table = Table::new("Two of them.", 1, &["name", "size"]);
    table.row(["é".into(), "1.00".into()]);
    table.row(["longer".into(), "22.0".into()]);
    table.note("That is all.");
    let expected = "\
Two of them.
  name    size
  ------------
  é       1.00
  longer  22.0
   That is all.
";
    assert_eq!(table.to_string(), expected);
}

#[test]
fn numbers_have_three_digits_that_count() {
    assert_eq!(number(0.1234), "0.123");
    assert_eq!(number(0.0123), "0.0123");
    assert_eq!(number(0.0), "0");
    assert_eq!(number(12.34), "12.3");
    assert_eq!(number(1234.5), "1234");
    assert_eq!(number(f64::NAN), "-");
    assert_eq!(times(1.5), "1.50x");
    assert_eq!(time(0.000_012_34), "12.3 us");
    assert_eq!(time(0.5), "500 ms");
}

#[test]
fn options_are_taken() {
    let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
    let all = parse("").unwrap();
    assert!(all.wants(Part::Read) && all.wants(Part::Serve));
    assert_eq!(all.rounds(), 11);
    let some = parse("write --quick --stream tiny").unwrap();
    assert!(some.wants(Part::Write) && !some.wants(Part::Read));
    assert_eq!(some.rounds(), 3);
    assert_eq!(some.streams().len(), 1);
    assert_eq!(parse("--rounds 7").unwrap().rounds(), 7);
    assert_eq!(all.clients(), [1, 100, 1000]);
    assert_eq!(parse("--clients 7").unwrap().clients(), [7]);
    for wrong in [
        "--rounds 0",
        "--clients x",
        "--rounds",
        "--stream none",
        "reed",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
