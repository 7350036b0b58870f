//! The rules of a fair comparison, checked on what was measured.

use serde_json::Value;

use super::figure::{Figure, Kind, median};
use super::plan::Task;

/// How far the mean number of peers in a reply may be apart, and that of bytes beside a page.
const PEERS_APART_MAX: f64 = 0.02;

/// How far the mean number of messages for each reply may be apart: which offers are answered is left to chance.
const MESSAGES_APART_MAX: f64 = 0.05;

/// Share of the handshakes that may be others than was asked for.
const OTHER_HANDSHAKES_MAX: f64 = 0.02;

/// Share of the requests that may be lost without a word about it.
const LOST_MAX: f64 = 0.001;

/// One side of a comparison: a result for each round, `null` where there is none.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub task: &'a Task,
    pub results: &'a [Value],
}

/// What is to be said about a comparison.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Marks {
    /// Rules that were broken: the figure is none.
    pub unfair: Vec<String>,
    /// How far the peers in their replies are apart, if that is too far; no figure either.
    pub apart: Option<String>,
    /// What a reader should know to judge the figure.
    pub doubts: Vec<String>,
}

/// Judges the sides of one figure.
pub(super) fn judge(figure: &Figure, sides: &[Side<'_>]) -> Marks {
    let mut marks = Marks::default();
    for side in sides {
        side.judge_alone(&mut marks);
        side.judge_bottleneck(figure.kind, &mut marks);
    }
    if let [of, over] = sides {
        judge_together(*of, *over, figure.kind, &mut marks);
    }
    marks
}

/// Rules that the servers of one workload break, where no figure says who is compared with whom.
pub(super) fn judge_all(sides: &[Side<'_>]) -> Marks {
    let mut marks = Marks::default();
    sides.iter().for_each(|side| side.judge_alone(&mut marks));
    for (at, over) in sides.iter().enumerate() {
        sides[..at].iter().for_each(|of| judge_together(*of, *over, Kind::Cost, &mut marks));
    }
    marks
}

impl Side<'_> {
    fn judge_alone(&self, marks: &mut Marks) {
        let name = &self.task.name;
        let measured = self.results.iter().filter(|result| !result.is_null()).count();
        // One that never was has no figure, and the report says so in its place.
        if (1..self.results.len()).contains(&measured) {
            marks.doubts.push(format!("{name} was measured in {measured} rounds of {}", self.results.len()));
        }
        let parts = || self.results.iter().flat_map(|result| [result, &result["filled"]]);
        let is_tracker = !self.task.server.is_echo;
        if is_tracker && parts().any(|part| part["checks_connection_ids"] == false) {
            marks.unfair.push(format!("{name} does not check connection ids"));
        }
        let count = |name: &str| parts().filter_map(|part| part[name].as_f64()).sum::<f64>();
        if is_tracker && count("errors") > 0.0 {
            marks.unfair.push(format!("{name} answered {} requests with an error", count("errors")));
        }
        if count("hostile_bytes_back") > 0.0 {
            let bytes = count("hostile_bytes_back");
            marks.unfair.push(format!("{name} sent {bytes} bytes to senders that had proven nothing"));
        }
        if count("lost") > LOST_MAX * count("replies") {
            let share = count("lost") / (count("lost") + count("replies")) * 100.0;
            marks.doubts.push(format!("{name} lost {share:.1} % of the requests"));
        }
        self.judge_handshakes(marks);
        for (metric, least) in &self.task.metric_min {
            let came = |result: &&Value| result["metrics"][metric].as_f64() < Some(*least);
            if self.results.iter().filter(|result| !result.is_null()).any(|result| came(&result)) {
                marks.unfair.push(format!("{metric} of {name} stayed below {least}"));
            }
        }
    }

    /// Who resumes no session, or resumes one unasked, does another work.
    fn judge_handshakes(&self, marks: &mut Marks) {
        let count = |kind: &str| {
            self.results.iter().filter_map(|result| result["handshakes"][kind].as_f64()).sum::<f64>()
        };
        let (full, resumed) = (count("full"), count("resumed"));
        let other = match self.task.argument("--tls") {
            Some("resumed") => full,
            Some(_) => resumed,
            None => return,
        };
        // A session is lost with a connection that breaks.
        if other > OTHER_HANDSHAKES_MAX * (full + resumed) {
            marks
                .unfair
                .push(format!("{} made {full} full handshakes and resumed {resumed}", self.task.name));
        }
    }

    /// A rate says something about the server only if the server set it, and so, less so, does a cost.
    fn judge_bottleneck(&self, kind: Kind, marks: &mut Marks) {
        let of_load = matches!(
            kind,
            Kind::Cost | Kind::AnswerCost | Kind::Rate | Kind::MessageCost | Kind::MessageRate
        );
        if self.task.load.is_none() || !of_load || self.task.server.roams {
            return;
        }
        let (expected, text) = match self.task.argument("--rate") {
            Some(_) => ("rate", "did not keep the rate"),
            None => ("server", "was not the bottleneck"),
        };
        let not = self.results.iter().filter_map(|result| result["bottleneck"].as_str());
        let not = not.filter(|bottleneck| *bottleneck != expected).count();
        if not > 0 {
            marks.doubts.push(format!("{} {text} in {not} rounds of {}", self.task.name, self.results.len()));
        }
    }
}

fn judge_together(of: Side<'_>, over: Side<'_>, kind: Kind, marks: &mut Marks) {
    // A server beside itself is asked other things on purpose.
    if of.task.server.name == over.task.server.name {
        return;
    }
    let apart = |name: &str, most: f64| {
        let mean = |side: Side<'_>| {
            median(&side.results.iter().filter_map(|result| result[name].as_f64()).collect::<Vec<_>>())
        };
        let (own, other) = mean(of).zip(mean(over))?;
        ((own - other).abs() > own.max(other) * most)
            .then(|| format!("of {} and {} are {own:.2} and {other:.2}", of.task.name, over.task.name))
    };
    // An echo thinks of nothing. Over TCP it can say as much as the other.
    if of.task.server.is_echo || over.task.server.is_echo {
        let is_http = of.task.argument("--protocol").is_some_and(|protocol| protocol.starts_with("http"));
        if let Some(apart) = apart("mean_reply_bytes", PEERS_APART_MAX).filter(|_| is_http) {
            marks.unfair.push(format!("mean bytes of a reply {apart}"));
        }
        return;
    }
    // Peers in a reply are work, but no memory.
    let peers = apart("mean_peers", PEERS_APART_MAX).filter(|_| kind != Kind::Memory);
    let messages = apart("mean_messages", MESSAGES_APART_MAX);
    marks.apart = peers
        .map(|apart| format!("mean peers in a reply {apart}"))
        .or(messages.map(|apart| format!("mean messages for a reply {apart}")));
    let asked = |side: Side<'_>| {
        let mut asked = side.results.iter().find(|result| !result.is_null())?["asked"].clone();
        // Who asks is the server's affair: one has users, the other has none.
        for own in ["target", "users"] {
            asked.as_object_mut()?.remove(own);
        }
        Some(asked)
    };
    if let (Some(own), Some(other)) = (asked(of), asked(over))
        && own != other
    {
        marks.unfair.push(format!("{} and {} were asked different things", of.task.name, over.task.name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::plan::tests::task;

    fn figure(kind: &str) -> Figure {
        serde_json::from_value(json!({ "workload": "w", "kind": kind, "of": "a", "must": 1.0 })).unwrap()
    }

    fn result(peers: f64) -> Value {
        json!({
            "mean_peers": peers, "replies": 1000, "lost": 0, "errors": 0, "bottleneck": "server",
            "checks_connection_ids": true, "asked": { "target": "x", "numwant": 30 }, "filled": null,
        })
    }

    /// What is said when one side did this and the other what it should.
    fn marks(kind: &str, change: impl Fn(&mut Value)) -> Marks {
        let (good, mut other) = (result(20.0), result(20.0));
        other["asked"]["target"] = json!("y");
        change(&mut other);
        let (a, b) = (task("a"), task("b"));
        let (good, other) = ([good.clone(), good], [other.clone(), other]);
        judge(&figure(kind), &[Side { task: &a, results: &good }, Side { task: &b, results: &other }])
    }

    fn unfair(change: impl Fn(&mut Value)) -> String {
        marks("cost", change).unfair.join("; ")
    }

    #[test]
    fn who_does_the_same_is_fair() {
        assert_eq!(marks("cost", |_| {}), Marks::default());
        assert_eq!(marks("cost", |result| result["mean_peers"] = json!(20.3)), Marks::default());
    }

    #[test]
    fn each_broken_rule_is_named() {
        assert_eq!(
            marks("cost", |result| result["mean_peers"] = json!(19.5)).apart.unwrap(),
            "mean peers in a reply of a and b are 20.00 and 19.50"
        );
        let careless = "b does not check connection ids";
        assert_eq!(unfair(|result| result["checks_connection_ids"] = json!(false)), careless);
        assert_eq!(unfair(|result| result["filled"] = json!({ "checks_connection_ids": false })), careless);
        assert_eq!(unfair(|result| result["errors"] = json!(1)), "b answered 2 requests with an error");
        assert_eq!(
            unfair(|result| result["hostile_bytes_back"] = json!(16)),
            "b sent 32 bytes to senders that had proven nothing"
        );
        assert_eq!(
            unfair(|result| result["asked"]["numwant"] = json!(50)),
            "a and b were asked different things"
        );
    }

    #[test]
    fn who_shakes_hands_otherwise_is_unfair() {
        let judge = |tls: &str, full: u32, resumed: u32| {
            let mut task = task("a");
            task.load = Some(vec!["--tls".to_owned(), tls.to_owned()]);
            let mut result = result(30.0);
            result["handshakes"] = json!({ "full": full, "resumed": resumed });
            judge(&figure("cost"), &[Side { task: &task, results: &[result] }]).unfair.join("; ")
        };
        assert_eq!((judge("full", 100, 0), judge("resumed", 1, 99)), (String::new(), String::new()));
        assert_eq!(judge("full", 0, 0), "", "all were made before");
        assert_eq!(judge("resumed", 50, 50), "a made 50 full handshakes and resumed 50");
        assert_eq!(judge("full", 50, 50), "a made 50 full handshakes and resumed 50");
    }

    #[test]
    fn who_passes_on_less_does_less() {
        let messages = |of: f64, over: f64| {
            let result = |messages: f64| {
                let mut result = result(0.0);
                result["mean_messages"] = json!(messages);
                [result]
            };
            let (a, b) = (task("a"), task("b"));
            let (of, over) = (result(of), result(over));
            let sides = [Side { task: &a, results: &of }, Side { task: &b, results: &over }];
            judge(&figure("message-rate"), &sides).apart
        };
        assert_eq!(messages(8.5, 8.3), None);
        assert_eq!(messages(8.5, 6.0).unwrap(), "mean messages for a reply of a and b are 8.50 and 6.00");
    }

    #[test]
    fn a_page_is_as_long_as_the_answers_it_is_compared_with() {
        let judge = |bytes: f64, protocol: &str| {
            let (mut a, mut page) = (task("a"), task("page"));
            a.load = Some(vec!["--protocol".to_owned(), protocol.to_owned()]);
            page.server.is_echo = true;
            let result = |bytes: f64| {
                let mut result = result(30.0);
                result["mean_reply_bytes"] = json!(bytes);
                [result]
            };
            let (of, over) = (result(300.0), result(bytes));
            let sides = [Side { task: &a, results: &of }, Side { task: &page, results: &over }];
            judge(&figure("cost"), &sides).unfair.join("; ")
        };
        assert_eq!(judge(301.0, "http"), "");
        assert_eq!(judge(200.0, "http"), "mean bytes of a reply of a and page are 300.00 and 200.00");
        assert_eq!(judge(200.0, "udp"), "", "over UDP it says how long its replies are");
    }

    #[test]
    fn peers_in_a_reply_are_no_memory() {
        assert_eq!(marks("memory", |result| result["mean_peers"] = json!(10.0)), Marks::default());
    }

    #[test]
    fn what_weakens_a_figure_is_said() {
        let doubts = |change: &dyn Fn(&mut Value)| marks("rate", change).doubts.join("; ");
        assert_eq!(
            doubts(&|result| result["bottleneck"] = json!("generator")),
            "b was not the bottleneck in 2 rounds of 2"
        );
        assert_eq!(doubts(&|result| result["lost"] = json!(250)), "b lost 20.0 % of the requests");
        let (task, results) = (task("a"), [result(20.0), Value::Null]);
        let marks = judge(&figure("cost"), &[Side { task: &task, results: &results }]);
        assert_eq!(marks.doubts, ["a was measured in 1 rounds of 2"]);
    }

    #[test]
    fn what_should_have_happened_meanwhile_must_have() {
        let mut task = task("a");
        task.metric_min.insert("expired".to_owned(), 100.0);
        let judge = |expired: f64| {
            let mut result = result(20.0);
            result["metrics"] = json!({ "expired": expired });
            judge(&figure("max-latency"), &[Side { task: &task, results: &[result] }]).unfair.join("; ")
        };
        assert_eq!(judge(100.0), "");
        assert_eq!(judge(99.0), "expired of a stayed below 100");
    }
}
