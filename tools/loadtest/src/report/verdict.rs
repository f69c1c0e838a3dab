//! The verdict: problems of the run, and whether the generator kept up.

use super::{Generator, Report};

/// Largest CPU use of a generator that keeps up, in cores.
const CORES_MAX: f64 = 0.95;

/// Largest fraction of the mean round trip that the generator's lateness and read delay may make up.
const OWN_PART_MAX: f64 = 0.5;

/// Delay of the generator that is always acceptable, in milliseconds.
const OWN_DELAY_MS_MIN: f64 = 1.0;

/// Fraction of the time without a processor above which the machine, not the server, is the bottleneck.
const SERVER_WAIT_MAX: f64 = 0.2;

impl Report {
    /// Returns all problems, one line each.
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
        count(connections.unclosed as u64, "close frames were not answered");
        count(
            connections.unaccounted.unwrap_or(0).unsigned_abs(),
            "connections are unaccounted for in the server's metrics",
        );
        if let Some(churn) = &self.churn {
            count(churn.ids_repeated, "ids were assigned twice");
            count(churn.ids_not_above, "ids were not above earlier ones");
        }
        if let Some(storm) = &self.storm {
            count((storm.killed - storm.returned) as u64, "clients did not reconnect after the storm");
        }
        if self.options.alone {
            let there = connections.players_there.unwrap_or(0);
            count(
                there.saturating_sub(connections.playing as u64),
                "ghosts: disconnected players still on the server",
            );
            let descriptors = self.server.descriptors_after.zip(self.server.descriptors_before);
            let left_open = descriptors.map_or(0, |(after, before)| after.saturating_sub(before));
            count(left_open, "descriptors were left open");
        }
        count(self.moves.missing, "MOVEs were never answered");
        count(
            self.moves.backlogged.saturating_sub(self.moves.rate_limited.unwrap_or(0)),
            "backlogged MOVEs were never answered, beyond those that the rate limit dropped",
        );
        count(self.moves.lost, "MOVEs were never answered because their connection was lost");
        count(self.moves.unexpected, "unexpected acks");
        if let Some(replicas) = &self.replicas {
            for (fault, faults) in &replicas.faults {
                count(*faults, &format!("players {} in the sampled replicas", fault.name()));
            }
            for (kind, (violations, _)) in &replicas.violations {
                count(*violations, &format!("times {kind}, which the browser does not tolerate"));
            }
            count(replicas.duplicates as u64, "duplicate sprites");
            if replicas.compared == 0 {
                problems.push("no replica could be compared".to_owned());
            }
        }
        if self.traffic.seconds <= 0.0 {
            problems.push("nothing was measured".to_owned());
        }
        problems
    }

    /// Returns whether the generator and the machine kept up, so that the measured times are the server's, and a
    /// statement about it.
    pub fn bottleneck(&self) -> (bool, String) {
        let own = &self.generator;
        let own_delay_ms = own.lateness.mean_ms + own.read_delay_ms;
        let server_wait = self.server.wait_ratio.unwrap_or(0.0);
        if own.cores > CORES_MAX {
            let text = format!("with {:.2} cores used, the generator was the bottleneck", own.cores);
            return (false, format!("{text}: {NOT_ONLY_THE_SERVER}"));
        }
        if own.postponed > 0 {
            let text = format!(
                "the generator was stopped: up to {:.1} s late, {} actions postponed",
                own.lateness.max_ms / 1e3,
                own.postponed
            );
            return (false, format!("{text}; {NOT_ONLY_THE_SERVER}"));
        }
        if own_delay_ms > OWN_DELAY_MS_MIN && own_delay_ms > OWN_PART_MAX * self.ack.mean_ms {
            let text = format!(
                "the generator was the bottleneck: {own_delay_ms:.2} ms of the mean round trip of {:.2} ms are its own",
                self.ack.mean_ms
            );
            return (false, format!("{text}; {NOT_ONLY_THE_SERVER}"));
        }
        if server_wait > SERVER_WAIT_MAX {
            let percent = server_wait * 100.0;
            let text = format!(
                "the machine was the bottleneck: the server had no processor {percent:.0} % of the time"
            );
            return (false, format!("{text}; {NOT_ONLY_THE_SERVER}"));
        }
        (true, kept_up(own))
    }
}

const NOT_ONLY_THE_SERVER: &str = "the times above are not only the server's";

fn kept_up(own: &Generator) -> String {
    format!(
        "the generator kept up: {:.2} ms late on average, and acks waited {:.2} ms to be read",
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
    fn every_loss_or_fault_is_a_problem() {
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
                "4 players displaced in the sampled replicas"
            ]
        );
        report.traffic.seconds = 0.0;
        assert_eq!(report.problems().len(), 4);
    }

    #[test]
    fn backlogged_moves_are_excused_by_rate_limit_drops() {
        let mut report = sample();
        report.moves.backlogged = 5;
        assert_eq!(report.problems().len(), 1, "the server has no metrics");
        report.moves.rate_limited = Some(5);
        assert!(report.problems().is_empty());
        report.moves.backlogged = 7;
        assert_eq!(
            report.problems(),
            ["2 backlogged MOVEs were never answered, beyond those that the rate limit dropped"]
        );
    }

    #[test]
    fn leaks_are_problems_only_without_other_players() {
        let mut report = sample();
        report.connections.players_there = Some(report.connections.playing as u64 + 2);
        (report.server.descriptors_before, report.server.descriptors_after) = (Some(12), Some(15));
        assert!(report.problems().is_empty(), "they may belong to other players");
        report.options.alone = true;
        assert_eq!(
            report.problems(),
            ["2 ghosts: disconnected players still on the server", "3 descriptors were left open"]
        );
    }

    #[test]
    fn faults_of_churn_and_storms_are_problems() {
        let mut report = sample();
        report.churn = Some(Churn { ids_repeated: 1, ids_not_above: 2, ..Churn::default() });
        report.storm = Some(Storm { killed: 10, returned: 7, ..Storm::default() });
        report.connections.unaccounted = Some(-4);
        assert_eq!(
            report.problems(),
            [
                "4 connections are unaccounted for in the server's metrics",
                "1 ids were assigned twice",
                "2 ids were not above earlier ones",
                "3 clients did not reconnect after the storm"
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
        assert!(report.bottleneck().0, "1.2 of 4 ms are tolerated");
        report.ack.mean_ms = 2.0;
        assert!(!report.bottleneck().0);
        report.ack.mean_ms = 4.0;
        report.server.wait_ratio = Some(0.3);
        assert!(report.bottleneck().1.contains("the machine was the bottleneck"));
    }
}
