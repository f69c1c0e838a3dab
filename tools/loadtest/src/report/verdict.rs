//! The verdict: problems of the run, and whether the generator kept up.

use super::{Report, Violations};

/// Largest CPU use of a generator that keeps up, in cores.
const CORES_MAX: f64 = 0.95;

/// Largest fraction of the mean round trip that the generator's lateness and read delay may make up.
const OWN_PART_MAX: f64 = 0.5;

/// Delay of the generator that is always acceptable, in milliseconds.
const OWN_DELAY_MS_MIN: f64 = 1.0;

/// Fraction of the time without a processor above which the machine, not the server, is the bottleneck.
const SERVER_WAIT_MAX: f64 = 0.2;

impl Report {
    /// Derives the verdict from the other fields.
    pub fn conclude(&mut self) {
        self.problems = self.problems();
        self.ok = self.problems.is_empty();
        (self.generator.kept_up, self.generator.statement) = self.bottleneck();
    }

    /// Returns all problems, one line each.
    fn problems(&self) -> Vec<String> {
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
            count(churn.ids.repeated, "ids were assigned twice");
            count(churn.ids.not_above, "ids were not above earlier ones");
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
            for (kind, Violations { count: violations, .. }) in &replicas.violations {
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
    fn bottleneck(&self) -> (bool, String) {
        let own = &self.generator;
        let (lateness, ack) = (own.lateness.summary(), self.ack.summary());
        let (read_delay_ms, server_wait) = (own.read_delay_ms, self.server.wait_ratio.unwrap_or(0.0));
        let own_delay_ms = lateness.mean_ms + read_delay_ms;
        let reason = if own.cores > CORES_MAX {
            format!("with {:.2} cores used, the generator was the bottleneck", own.cores)
        } else if own.postponed > 0 {
            let (late_s, postponed) = (lateness.max_ms / 1e3, own.postponed);
            format!("the generator was stopped: up to {late_s:.1} s late, {postponed} actions postponed")
        } else if own_delay_ms > OWN_DELAY_MS_MIN && own_delay_ms > OWN_PART_MAX * ack.mean_ms {
            let part = format!("{own_delay_ms:.2} ms of the mean round trip of {:.2} ms", ack.mean_ms);
            format!("the generator was the bottleneck: {part} are its own")
        } else if server_wait > SERVER_WAIT_MAX {
            let percent = server_wait * 100.0;
            format!("the machine was the bottleneck: the server had no processor {percent:.0} % of the time")
        } else {
            let late_ms = lateness.mean_ms;
            let late =
                format!("{late_ms:.2} ms late on average, and acks waited {read_delay_ms:.2} ms to be read");
            return (true, format!("the generator kept up: {late}"));
        };
        (false, format!("{reason}; the times above are not only the server's"))
    }
}

#[cfg(test)]
mod tests {
    use crate::load::churn::{Churn, Ids, Storm};
    use crate::measure::Times;
    use crate::report::Report;
    use crate::report::tests::sample;
    use crate::truth::Fault;

    /// A change of a clean run, and the verdict that follows.
    type Case<T> = (fn(&mut Report), T);

    #[test]
    fn every_loss_or_fault_is_a_problem() {
        let cases: [Case<&[&str]>; 9] = [
            (|_| (), &[]),
            (
                |run| {
                    run.connections.failures.insert("refused".to_owned(), 2);
                    run.moves.missing = 3;
                    run.replicas.as_mut().unwrap().faults.insert(Fault::Displaced, 4);
                    run.traffic.seconds = 0.0;
                },
                &[
                    "2 connections failed",
                    "3 MOVEs were never answered",
                    "4 players displaced in the sampled replicas",
                    "nothing was measured",
                ],
            ),
            // A server without metrics does not excuse a backlog.
            (
                |run| run.moves.backlogged = 5,
                &["5 backlogged MOVEs were never answered, beyond those that the rate limit dropped"],
            ),
            (|run| (run.moves.backlogged, run.moves.rate_limited) = (5, Some(5)), &[]),
            (
                |run| (run.moves.backlogged, run.moves.rate_limited) = (7, Some(5)),
                &["2 backlogged MOVEs were never answered, beyond those that the rate limit dropped"],
            ),
            // They may belong to other players.
            (leak, &[]),
            (
                |run| {
                    leak(run);
                    run.options.alone = true;
                },
                &["2 ghosts: disconnected players still on the server", "3 descriptors were left open"],
            ),
            (
                |run| {
                    let ids = Ids { repeated: 1, not_above: 2, ..Ids::default() };
                    run.churn = Some(Churn { ids, ..Churn::default() });
                    run.connections.unaccounted = Some(-4);
                },
                &[
                    "4 connections are unaccounted for in the server's metrics",
                    "1 ids were assigned twice",
                    "2 ids were not above earlier ones",
                ],
            ),
            (
                |run| run.storm = Some(Storm { killed: 10, returned: 7, ..Storm::default() }),
                &["3 clients did not reconnect after the storm"],
            ),
        ];
        for (change, problems) in cases {
            let mut run = sample();
            change(&mut run);
            run.conclude();
            assert_eq!(run.problems, problems);
            assert_eq!(run.ok, problems.is_empty());
        }
    }

    fn leak(run: &mut Report) {
        run.connections.players_there = Some(run.connections.playing as u64 + 2);
        (run.server.descriptors_before, run.server.descriptors_after) = (Some(12), Some(15));
    }

    #[test]
    fn the_bottleneck_is_named() {
        let cases: [Case<&str>; 6] = [
            (|_| (), "the generator kept up"),
            (|run| run.generator.cores = 0.97, "with 0.97 cores used, the generator was the bottleneck"),
            (
                |run| run.generator.postponed = 3,
                "the generator was stopped: up to 0.0 s late, 3 actions postponed",
            ),
            // 2 of 4 ms are tolerated.
            (|run| run.generator.lateness = Times::of_ms(2), "the generator kept up"),
            (
                |run| (run.generator.lateness, run.ack) = (Times::of_ms(2), Times::of_ms(3)),
                "the generator was the bottleneck: 2.00 ms",
            ),
            (|run| run.server.wait_ratio = Some(0.3), "the machine was the bottleneck"),
        ];
        for (change, statement) in cases {
            let mut run = sample();
            change(&mut run);
            run.conclude();
            assert!(run.generator.statement.starts_with(statement), "{}", run.generator.statement);
            assert_eq!(run.generator.kept_up, statement == "the generator kept up");
        }
    }
}
