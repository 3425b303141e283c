//! Medians, spreads, and ratios by round.

/// The middle of several figures, and how far apart they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; of none there is none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|x| x.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let (low, high) = ((figures.len() - 1) / 2, figures.len() / 2);
        let median = (figures.get(low)? + figures.get(high)?) / 2.0;
        Some(Self { median, min, max })
    }
}

/// Which figures are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// High ones: operations a second.
    High,
    /// Low ones: nanoseconds, bytes.
    Low,
}

impl Better {
    /// Whether `a` is better than `b`.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::High => a > b,
            Self::Low => a < b,
        }
    }
}

/// How many times as good as `base` an engine is: the ratio of each round in
/// which both have a figure, and of those the spread. Above 1 is better, also
/// where low figures are.
pub fn ratio(engine: &[(u64, f64)], base: &[(u64, f64)], better: Better) -> Option<Spread> {
    Spread::of(engine.iter().filter_map(|(round, figure)| {
        let (_, base) = base.iter().find(|(other, _)| other == round)?;
        let (over, under) = match better {
            Better::High => (figure, base),
            Better::Low => (base, figure),
        };
        (*under > 0.0).then(|| over / under)
    }))
}

/// Which of these engines is best, by the median of its figures, each divided by
/// the geometric mean of all in its round: what the machine did meanwhile is the
/// same for all.
pub fn best(engines: &[&[(u64, f64)]], better: Better) -> Option<usize> {
    let mean_of = |round: u64| {
        let figures = engines.iter().flat_map(|rounds| rounds.iter());
        let logs: Vec<f64> =
            figures.filter(|(other, x)| *other == round && *x > 0.0).map(|(_, x)| x.ln()).collect();
        (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
    };
    let scores = engines.iter().enumerate().filter_map(|(i, rounds)| {
        let score = Spread::of(rounds.iter().map(|(round, x)| x / mean_of(*round)))?;
        Some((i, score.median))
    });
    let best = scores.reduce(|one, two| if better.is_better(two.1, one.1) { two } else { one });
    best.map(|(i, _)| i)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_median_and_the_ends() {
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([5.0, 1.0, 3.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 3.0, 5.0));
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn ratio_is_the_median_of_rounds_and_not_of_medians() {
        // The machine was twice as quick in every second round: for both.
        let engine = [(0, 20.0), (1, 10.0), (2, 22.0), (3, 9.0)];
        let base = [(0, 10.0), (1, 5.0), (2, 10.0)];
        let high = ratio(&engine, &base, Better::High).unwrap();
        assert_eq!((high.min, high.median, high.max), (2.0, 2.0, 2.2));
        // Where low figures are better, half of them is twice as good.
        let low = ratio(&[(0, 5.0)], &[(0, 10.0)], Better::Low).unwrap();
        assert_eq!(low.median, 2.0);
        assert_eq!(ratio(&engine, &[(9, 1.0)], Better::High), None);
    }

    #[test]
    fn best_is_the_best_of_its_rounds_and_not_of_the_lucky_ones() {
        // The second is ahead in every round that both had; the first had its
        // only other one while the machine was idle.
        let first = [(0, 10.0), (1, 11.0), (3, 100.0), (4, 100.0)];
        let second = [(0, 12.0), (1, 13.0), (2, 12.0)];
        let third = [(3, 90.0), (4, 90.0)];
        let engines = [&first[..], &second, &third];
        assert_eq!(best(&engines[..2], Better::High), Some(1));
        assert_eq!(best(&engines[..2], Better::Low), Some(0));
        assert_eq!(best(&[], Better::High), None);
        assert_eq!(best(&[&[], &third], Better::High), Some(1), "one without figures");
    }
}
