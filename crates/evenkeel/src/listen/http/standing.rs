//! What somebody is shown of its standing at `/standing/SECRET`: score, what it is made of, tier, and what would raise it.

use std::fmt::Write as _;

use evenkeel_core::Tier;
use evenkeel_core::analyst::{Advice, Part, Raw, View};
use serde_json::json;

/// What there is to show.
pub(super) struct Shown {
    /// Nothing before the first announce.
    pub(super) view: Option<View>,
    /// The tier that the operator holds it at.
    pub(super) pinned: Option<Tier>,
}

impl Shown {
    fn tier(&self) -> Tier {
        let earned = self.view.as_ref().map_or(Tier::NEWEST, |view| view.tier);
        self.pinned.unwrap_or(earned)
    }

    /// What would raise the tier, in a sentence.
    fn advice(&self) -> String {
        if let Some(tier) = self.pinned {
            return format!("The operator holds you at tier {}, whatever you earn.", tier.number());
        }
        let Some(view) = &self.view else {
            return "Nothing is known of you yet: it begins with your first announce.".to_owned();
        };
        let Some(advice) = view.advice else { return "You are of the highest tier.".to_owned() };
        match advice {
            Advice::Seed => "Seed what you have got: you have not seeded anything yet.".to_owned(),
            Advice::Prove => {
                "Nothing shows of late that you seed what you say: stay until others fetch it from you."
                    .to_owned()
            }
            Advice::AddUp => {
                "What you say to have sent does not add up with what others got: it counts when it does."
                    .to_owned()
            }
            Advice::Raise(part) => raise(part, &view.raw),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let mut told = json!({
            "tier": self.tier().number(),
            "pinned_tier": self.pinned.map(Tier::number),
            "advice": self.advice(),
            "score": null,
        });
        if let Some(view) = &self.view {
            let Raw {
                seeded_gib_hours,
                average_gib,
                seeding_secs,
                claimed_mib,
                credited_mib,
                charged_mib,
                snatched,
                kept,
            } = view.raw;
            let parts = view
                .marks
                .iter()
                .map(|mark| json!({ "name": name(mark.part), "mark": mark.value, "weight": mark.weight }));
            told["score"] = json!(view.score);
            told["parts"] = parts.collect();
            told["proof"] = json!(view.proof);
            told["trust"] = json!(view.trust);
            told["exaggerated"] = json!(view.exaggerated);
            told["is_exaggerating"] = json!(view.is_exaggerating);
            told["is_doubted"] = json!(view.is_doubted);
            told["thresholds"] = json!(view.thresholds);
            told["next"] =
                json!(view.next.map(|(tier, score)| json!({ "tier": tier.number(), "score": score })));
            told["figures"] = json!({
                "seeded_gib_hours": seeded_gib_hours,
                "average_gib": average_gib,
                "seeding_secs": seeding_secs,
                "claimed_mib": claimed_mib,
                "credited_mib": credited_mib,
                "charged_mib": charged_mib,
                "snatched": snatched,
                "kept": kept,
            });
        }
        format!("{told}\n")
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"referrer\" content=\"no-referrer\"><meta name=\"robots\" content=\"noindex\"><title>Your standing</title>\n\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}}\
             td,th{{padding:.2rem 1rem .2rem 0;text-align:left}}</style></head>\n<body>\n\
             <h1>Tier {} of {}</h1>\n<p>{}</p>\n",
            self.tier().number(),
            Tier::TOP.number(),
            self.advice()
        );
        if let Some(view) = &self.view {
            let written = write_view(&mut html, view);
            debug_assert!(written.is_ok(), "a String takes any text");
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

fn write_view(html: &mut String, view: &View) -> std::fmt::Result {
    let percent = |share: f32| share * 100.0;
    write!(html, "<p>Your score is {:.0} of 100.", percent(view.score))?;
    if let Some((tier, score)) = view.next {
        write!(html, " Tier {} takes {:.0} now.", tier.number(), percent(score))?;
    }
    html.push_str("</p>\n<table><tr><th>for</th><th>you have</th><th>that is</th><th>of</th></tr>\n");
    for mark in &view.marks {
        let (what, have) = (says(mark.part), have(mark.part, &view.raw));
        let (points, of) = (percent(mark.value * mark.weight), percent(mark.weight));
        writeln!(html, "<tr><td>{what}</td><td>{have}</td><td>{points:.1}</td><td>{of:.0}</td></tr>")?;
    }
    html.push_str("</table>\n");
    if view.proof < 1.0 {
        writeln!(
            html,
            "<p>All of it but the ratio counts {:.0} %: so far it is proven that you seed what you say.</p>",
            percent(view.proof)
        )?;
    }
    if view.trust < 1.0 {
        writeln!(
            html,
            "<p>The whole score counts {:.0} %: so far what you report adds up.</p>",
            percent(view.trust)
        )?;
    }
    if view.is_exaggerating {
        writeln!(
            html,
            "<p>Of what you say to have sent, {:.0} % at least was received by nobody: tiers 2 and 3 wait until that is over.</p>",
            percent(view.exaggerated)
        )?;
    }
    if view.is_doubted {
        html.push_str(
            "<p>Some of what you say to have sent was likely received by nobody: tiers 2 and 3 wait until that is cleared up.</p>\n",
        );
    }
    html.push_str("<p>Amounts fade with time: what counts is what you do now.</p>\n");
    Ok(())
}

fn name(part: Part) -> &'static str {
    match part {
        Part::Seeding => "seeding",
        Part::Average => "average",
        Part::Time => "time",
        Part::Ratio => "ratio",
        Part::Kept => "kept",
    }
}

fn says(part: Part) -> &'static str {
    match part {
        Part::Seeding => "what you seed, by size and time; more where seeders are few",
        Part::Average => "how large it is on average",
        Part::Time => "how long you seed, in however many torrents",
        Part::Ratio => "what you sent beside what you got",
        Part::Kept => "what you completed and seeded on",
    }
}

fn have(part: Part, raw: &Raw) -> String {
    match part {
        Part::Seeding => format!("{:.0} GiB hours", raw.seeded_gib_hours),
        Part::Average => format!("{:.1} GiB", raw.average_gib),
        Part::Time => format!("{:.1} hours", raw.seeding_secs / 3600.0),
        Part::Ratio => format!("{} to {}", gib(raw.credited_mib), gib(raw.charged_mib)),
        Part::Kept => format!("{:.1} of {:.1}", raw.kept, raw.snatched),
    }
}

fn raise(part: Part, raw: &Raw) -> String {
    match part {
        Part::Seeding => "Seed more, or longer; torrents with few seeders count most.".to_owned(),
        Part::Average => "Seed larger torrents.".to_owned(),
        Part::Time => "Seed for longer; an hour counts once, in however many torrents.".to_owned(),
        Part::Ratio => format!(
            "Send more of what others want: of late you sent {} that count, and got {}.",
            gib(raw.credited_mib),
            gib(raw.charged_mib)
        ),
        Part::Kept => "Seed on what you have completed.".to_owned(),
    }
}

fn gib(mib: f32) -> String {
    format!("{:.1} GiB", mib / 1024.0)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::analyst::Mark;

    use super::*;

    fn view() -> View {
        View {
            tier: Tier::new(1).unwrap(),
            is_pinned: false,
            score: 0.25,
            marks: Part::ALL.map(|part| Mark { part, value: 0.5, weight: 0.2 }),
            proof: 0.5,
            trust: 1.0,
            exaggerated: 0.0,
            is_exaggerating: false,
            is_doubted: false,
            thresholds: [0.1, 0.3, 0.5],
            raw: Raw {
                seeded_gib_hours: 24.0,
                average_gib: 4.0,
                seeding_secs: 7200.0,
                claimed_mib: 3072.0,
                credited_mib: 2048.0,
                charged_mib: 1024.0,
                snatched: 3.0,
                kept: 1.5,
            },
            next: Tier::new(2).map(|tier| (tier, 0.32)),
            advice: Some(Advice::Raise(Part::Ratio)),
        }
    }

    #[test]
    fn what_is_shown_to_people_and_to_programs_is_the_same() {
        let shown = Shown { view: Some(view()), pinned: None };
        let html = shown.html();
        for said in [
            "Tier 1 of 3",
            "score is 25 of 100",
            "Tier 2 takes 32",
            "you sent 2.0 GiB that count",
            "2.0 GiB to 1.0 GiB",
        ] {
            assert!(html.contains(said), "{said}: {html}");
        }
        let json: serde_json::Value = serde_json::from_str(&shown.json()).unwrap();
        assert_eq!((json["tier"].as_u64(), json["score"].as_f64()), (Some(1), Some(0.25)));
        assert_eq!((&json["parts"][3]["name"], &json["next"]["tier"]), (&"ratio".into(), &2.into()));
        assert_eq!(json["figures"]["kept"], 1.5);
    }

    #[test]
    fn whoever_is_held_at_a_tier_or_new_is_told_so() {
        let held = Shown { view: Some(view()), pinned: Some(Tier::TOP) };
        assert!(held.html().contains("Tier 3 of 3") && held.html().contains("holds you at tier 3"));
        let new = Shown { view: None, pinned: None };
        assert!(new.html().contains("Tier 0 of 3") && new.html().contains("first announce"));
        let json: serde_json::Value = serde_json::from_str(&new.json()).unwrap();
        assert_eq!((json["tier"].as_u64(), json["score"].is_null()), (Some(0), true));
    }

    #[test]
    fn whoever_is_known_to_exaggerate_is_told_what_waits_for_it() {
        assert!(!Shown { view: Some(view()), pinned: None }.html().contains("received by nobody"));
        let view = View { exaggerated: 0.6, is_exaggerating: true, ..view() };
        let shown = Shown { view: Some(view), pinned: None };
        assert!(shown.html().contains("60 % at least was received by nobody"), "{}", shown.html());
        let json: serde_json::Value = serde_json::from_str(&shown.json()).unwrap();
        assert_eq!(json["is_exaggerating"], true);
    }

    #[test]
    fn whoever_is_doubted_is_told_so() {
        let view = View { is_doubted: true, ..view() };
        let shown = Shown { view: Some(view), pinned: None };
        assert!(shown.html().contains("was likely received by nobody"));
        let json: serde_json::Value = serde_json::from_str(&shown.json()).unwrap();
        assert_eq!((&json["is_doubted"], &json["is_exaggerating"]), (&json!(true), &json!(false)));
    }

    #[test]
    fn each_advice_is_a_sentence_of_its_own() {
        let advices =
            Part::ALL.map(Advice::Raise).into_iter().chain([Advice::Seed, Advice::Prove, Advice::AddUp]);
        let said: std::collections::BTreeSet<String> = advices
            .map(|advice| {
                Shown { view: Some(View { advice: Some(advice), ..view() }), pinned: None }.advice()
            })
            .chain([Shown { view: Some(View { advice: None, ..view() }), pinned: None }.advice()])
            .collect();
        assert_eq!(said.len(), 9);
        assert!(said.iter().all(|text| text.ends_with('.')));
    }
}
