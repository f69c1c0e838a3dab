//! The judgement: what was lost or wrong, and whether it was the generator that could not keep up.

use super::{Generator, Report};

/// A generator that uses more of a core than this has no time left.
const CORES_MAX: f64 = 0.95;

/// Lateness and reading delay together may make up this part of the mean answer time before it is not the server's.
const OWN_PART_MAX: f64 = 0.5;

/// Own delays below this don't matter, in milliseconds.
const OWN_DELAY_MS_MIN: f64 = 1.0;

/// A server that has no processor for more than this part of the time is not itself to blame for its times.
const SERVER_WAIT_MAX: f64 = 0.2;

impl Report {
    /// Everything that was lost or wrong, one line each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut count = |count: u64, what: &str| {
            if count > 0 {
                problems.push(format!("{count} {what}"));
            }
        };
        let connections = &self.connections;
        count(connections.failures.values().sum(), "connections failed");
        count(connections.disconnects.values().sum(), "connections were lost");
        count(connections.unclosed as u64, "goodbyes were not answered");
        count(
            connections.unaccounted.unwrap_or(0).unsigned_abs(),
            "connections are missing in the server's counts",
        );
        if let Some(churn) = &self.churn {
            count(churn.ids_repeated, "ids were given twice");
            count(churn.ids_not_above, "ids were not above those before");
        }
        if let Some(storm) = &self.storm {
            count((storm.killed - storm.returned) as u64, "clients did not come back after the storm");
        }
        if self.options.alone {
            let there = connections.players_there.unwrap_or(0);
            count(
                there.saturating_sub(connections.playing as u64),
                "ghosts: players on the server who are gone",
            );
            let descriptors = self.server.descriptors_after.zip(self.server.descriptors_before);
            let left_open = descriptors.map_or(0, |(after, before)| after.saturating_sub(before));
            count(left_open, "descriptors were left open");
        }
        count(self.moves.missing, "MOVEs were never answered");
        count(
            self.moves.backlogged.saturating_sub(self.moves.rate_limited.unwrap_or(0)),
            "MOVEs were never answered that came in a pile, more than the rate limit dropped",
        );
        count(self.moves.lost, "MOVEs were never answered since their connection was lost");
        count(self.moves.unexpected, "answers to no MOVE");
        if let Some(replicas) = &self.replicas {
            for (fault, faults) in &replicas.faults {
                count(*faults, &format!("players {} on the sampled pictures", fault.name()));
            }
            for (kind, (violations, _)) in &replicas.violations {
                count(*violations, &format!("times {kind}, which the browser does not forgive"));
            }
            count(replicas.duplicates as u64, "sprites drawn twice");
            if replicas.compared == 0 {
                problems.push("no picture could be compared".to_owned());
            }
        }
        if self.traffic.seconds <= 0.0 {
            problems.push("nothing was measured".to_owned());
        }
        problems
    }

    /// Whether generator and machine kept up, so that the times are the server's; and that in a sentence.
    pub fn bottleneck(&self) -> (bool, String) {
        let own = &self.generator;
        let own_delay_ms = own.lateness.mean_ms + own.read_delay_ms;
        let server_wait = self.server.wait_ratio.unwrap_or(0.0);
        if own.cores > CORES_MAX {
            let text = format!("with {:.2} cores used, the generator was the bottleneck", own.cores);
            return (false, format!("{text}: {NOT_THE_SERVERS}"));
        }
        if own.postponed > 0 {
            let text = format!(
                "the generator stood still: {:.1} s late at worst, and {} times too late to make up for it",
                own.lateness.max_ms / 1e3,
                own.postponed
            );
            return (false, format!("{text}; {NOT_THE_SERVERS}"));
        }
        if own_delay_ms > OWN_DELAY_MS_MIN && own_delay_ms > OWN_PART_MAX * self.ack.mean_ms {
            let text = format!(
                "the generator was the bottleneck: {own_delay_ms:.2} ms of the mean answer time of {:.2} ms are its own",
                self.ack.mean_ms
            );
            return (false, format!("{text}; {NOT_THE_SERVERS}"));
        }
        if server_wait > SERVER_WAIT_MAX {
            let percent = server_wait * 100.0;
            let text = format!(
                "the machine was the bottleneck: the server had no processor {percent:.0} % of the time"
            );
            return (false, format!("{text}; {NOT_THE_SERVERS}"));
        }
        (true, kept_up(own))
    }
}

const NOT_THE_SERVERS: &str = "the times above are not the server's alone";

fn kept_up(own: &Generator) -> String {
    format!(
        "the generator kept up: {:.2} ms late on average, and answers waited {:.2} ms to be read",
        own.lateness.mean_ms, own.read_delay_ms
    )
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;
    use crate::report::{Churn, Storm};
    use crate::truth::Fault;

    #[test]
    fn a_clean_run_has_no_problems() {
        assert!(sample().problems().is_empty());
    }

    #[test]
    fn whatever_was_lost_or_wrong_is_a_problem() {
        let mut report = sample();
        report.connections.failures.insert("refused".to_owned(), 2);
        report.moves.missing = 3;
        report.replicas.as_mut().unwrap().faults.insert(Fault::Displaced, 4);
        let problems = report.problems();
        assert_eq!(
            problems,
            [
                "2 connections failed",
                "3 MOVEs were never answered",
                "4 players displaced on the sampled pictures"
            ]
        );
        report.traffic.seconds = 0.0;
        assert_eq!(report.problems().len(), 4);
    }

    #[test]
    fn what_came_in_a_pile_may_be_over_the_rate_if_the_server_says_so() {
        let mut report = sample();
        report.moves.backlogged = 5;
        assert_eq!(report.problems().len(), 1, "the server says nothing");
        report.moves.rate_limited = Some(5);
        assert!(report.problems().is_empty());
        report.moves.backlogged = 7;
        assert_eq!(
            report.problems(),
            ["2 MOVEs were never answered that came in a pile, more than the rate limit dropped"]
        );
    }

    #[test]
    fn a_server_that_keeps_what_is_gone_is_found_out_by_those_who_are_alone() {
        let mut report = sample();
        report.connections.players_there = Some(report.connections.playing as u64 + 2);
        (report.server.descriptors_before, report.server.descriptors_after) = (Some(12), Some(15));
        assert!(report.problems().is_empty(), "they may be other people's");
        report.options.alone = true;
        assert_eq!(
            report.problems(),
            ["2 ghosts: players on the server who are gone", "3 descriptors were left open"]
        );
    }

    #[test]
    fn churn_and_storms_must_leave_nothing_behind() {
        let mut report = sample();
        report.churn = Some(Churn { ids_repeated: 1, ids_not_above: 2, ..Churn::default() });
        report.storm = Some(Storm { killed: 10, returned: 7, ..Storm::default() });
        report.connections.unaccounted = Some(-4);
        assert_eq!(
            report.problems(),
            [
                "4 connections are missing in the server's counts",
                "1 ids were given twice",
                "2 ids were not above those before",
                "3 clients did not come back after the storm"
            ]
        );
    }

    #[test]
    fn the_bottleneck_is_named() {
        let mut report = sample();
        assert!(report.bottleneck().0);
        report.generator.cores = 0.97;
        assert!(report.bottleneck().1.contains("the generator was the bottleneck"));
        report.generator.cores = 0.5;
        report.generator.lateness.mean_ms = 1.2;
        assert!(report.bottleneck().0, "of 4 ms, 1.2 are little");
        report.ack.mean_ms = 2.0;
        assert!(!report.bottleneck().0);
        report.ack.mean_ms = 4.0;
        report.server.wait_ratio = Some(0.3);
        assert!(report.bottleneck().1.contains("the machine was the bottleneck"));
    }
}
