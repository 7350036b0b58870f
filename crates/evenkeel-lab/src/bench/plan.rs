//! What is compared, as TOML: servers, workloads, and the rows of the report.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::figure::Row;

/// The TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// How often each server has its turn.
    pub rounds: usize,
    /// Where each side stays; without it, the system chooses.
    pub server_core: Option<usize>,
    pub generator_core: Option<usize>,
    /// Network to ask from over IPv6: see `evenkeel-lab load --help`.
    pub ipv6_net: Option<String>,
    /// Arguments of `evenkeel-lab load` that every fill and every load begins with. Later ones override them.
    #[serde(default)]
    pub generator: Vec<String>,
    pub server: Vec<Server>,
    pub workload: Vec<Workload>,
    #[serde(default)]
    pub row: Vec<Row>,
}

/// One server. `{bin}` stands for the folder of this program; `{address}`, `{port}`, `{admin}` and `{dir}` stand for the address to listen on, two free ports and
/// an empty directory, new for each start.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub name: String,
    pub command: Vec<String>,
    /// A command whose first line of output is the version, and what that line must hold.
    #[serde(default)]
    pub version: Vec<String>,
    pub expect_version: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files to write to `{dir}`, by name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// File in `{dir}` for the info hashes of all torrents, sorted: a server may want them listed.
    pub hash_list: Option<String>,
    /// Users of a private tracker of ours, to be written into its database once it answers, with the torrents that are
    /// loaded: as many as `--users` says.
    #[serde(default)]
    pub is_private: bool,
    /// Seconds that it is left alone once it answers: one reads its list meanwhile.
    #[serde(default)]
    pub settle_secs: f64,
    /// Answers anything: neither peers nor connection ids are compared with the others'.
    #[serde(default)]
    pub is_echo: bool,
    #[serde(default)]
    pub ipv4_only: bool,
    /// Stays on no core, but where the system puts it.
    #[serde(default)]
    pub roams: bool,
    /// A command that shows every setting of ours, started like the server. Those that are no default must be the
    /// ports, the state directory, or one of `differs`.
    #[serde(default)]
    pub settings: Vec<String>,
    #[serde(default)]
    pub differs: Vec<String>,
    /// Metrics to read at `{admin}` when a load is over.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// What a reader must know.
    pub note: Option<String>,
}

/// One load, and who bears it. `population` shapes the fill and the load alike, so that both meet the same peers;
/// all three are arguments of `evenkeel-lab load`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    /// Name for figures and files.
    pub key: String,
    pub name: String,
    /// That of `same_start_as` by default.
    pub population: Option<Vec<String>>,
    /// Whether servers are filled first.
    #[serde(default = "yes")]
    pub fill: bool,
    /// An earlier workload, which filled servers that this one loads, too: those have no new start. It spares the time
    /// of another fill.
    pub same_start_as: Option<String>,
    /// Without it, the fill is what is measured.
    #[serde(default)]
    pub load: Vec<String>,
    /// Servers that have a turn, when each has one and nothing of its own.
    #[serde(default)]
    pub servers: Vec<String>,
    #[serde(default)]
    pub turn: Vec<Turn>,
    /// Once more over IPv6, with those who can.
    #[serde(default)]
    pub ipv6: bool,
}

fn yes() -> bool {
    true
}

/// A turn that is not like the others.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    /// The server's name by default.
    pub name: Option<String>,
    pub server: String,
    pub population: Option<Vec<String>>,
    /// Arguments behind the workload's own.
    #[serde(default)]
    pub load: Vec<String>,
    /// The fill must be over so soon after the server's start.
    pub filled_within_secs: Option<f64>,
    /// The load begins so long after the server's start.
    #[serde(default)]
    pub load_after_secs: f64,
    /// Metrics that must have come this far in the end.
    #[serde(default)]
    pub metric_min: BTreeMap<String, f64>,
}

/// How servers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Family {
    #[serde(rename = "IPv4")]
    V4,
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Loopback, as it stands before a port.
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "[::1]",
        }
    }
}

/// All that decides what is measured in one turn: a result stands for as long as this does.
#[derive(Clone, Serialize)]
pub(super) struct Task {
    pub workload: String,
    pub family: Family,
    pub name: String,
    pub server: Server,
    /// Workload whose start and fill this is measured on; `None` where it has a start of its own.
    pub same_start_as: Option<String>,
    /// Arguments; `None` where nothing is filled in or loaded.
    pub fill: Option<Vec<String>>,
    pub load: Option<Vec<String>>,
    pub filled_within_secs: Option<f64>,
    pub load_after_secs: f64,
    pub metric_min: BTreeMap<String, f64>,
    pub server_core: Option<usize>,
    pub generator_core: Option<usize>,
}

impl Plan {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let program = std::env::current_exe()?;
        let folder = program.parent().unwrap_or(Path::new(".")).to_string_lossy();
        let plan: Self =
            toml::from_str(&text.replace("{bin}", &folder)).with_context(|| path.display().to_string())?;
        ensure!(
            plan.server_core.is_none() || plan.server_core != plan.generator_core,
            "server and generator need a core each"
        );
        for (at, workload) in plan.workload.iter().enumerate() {
            if let Some(key) = &workload.same_start_as {
                let mut earlier = plan.workload[..at].iter();
                let first = earlier.find(|first| first.key == *key && first.same_start_as.is_none());
                let first =
                    first.with_context(|| format!("{}: {key} starts nothing before", workload.key))?;
                ensure!(first.ipv6 || !workload.ipv6, "{}: {key} has no IPv6", workload.key);
            }
            let fills = workload.fill && workload.same_start_as.is_none();
            ensure!(fills || !workload.load.is_empty(), "{}: there is nothing to do", workload.key);
            for turn in plan.turns(workload) {
                plan.server(&turn.server).with_context(|| workload.key.clone())?;
            }
        }
        for figure in plan.row.iter().flat_map(|row| &row.figure) {
            let workload = plan.workload.iter().find(|workload| workload.key == figure.workload);
            let workload = workload.with_context(|| format!("no workload is called {}", figure.workload))?;
            let turns: Vec<_> = plan.turns(workload).iter().map(|turn| turn.name().to_owned()).collect();
            for name in std::iter::once(&figure.of).chain(&figure.over) {
                ensure!(turns.contains(name), "{} has no turn of {name}", workload.key);
            }
        }
        Ok(plan)
    }

    pub(super) fn server(&self, name: &str) -> anyhow::Result<&Server> {
        let server = self.server.iter().find(|server| server.name == name);
        server.with_context(|| format!("no server is called {name}"))
    }

    fn turns(&self, workload: &Workload) -> Vec<Turn> {
        let plain = |name: &String| Turn {
            name: None,
            server: name.clone(),
            population: None,
            load: Vec::new(),
            filled_within_secs: None,
            load_after_secs: 0.0,
            metric_min: BTreeMap::new(),
        };
        let everybody = workload.servers.is_empty() && workload.turn.is_empty();
        let all = self.server.iter().map(|server| &server.name).filter(|_| everybody);
        workload.servers.iter().chain(all).map(plain).chain(workload.turn.iter().cloned()).collect()
    }

    /// Who has a turn, in their order. A server that is left out has none.
    pub(super) fn tasks(&self, workload: &Workload, family: Family) -> anyhow::Result<Vec<Task>> {
        let mut tasks = Vec::new();
        let first = self.workload.iter().find(|first| workload.same_start_as.as_ref() == Some(&first.key));
        let started = first.map(|first| self.turns(first)).unwrap_or_default();
        for turn in self.turns(workload) {
            let Ok(server) = self.server(&turn.server) else { continue };
            if family == Family::V6 && (server.ipv4_only || !workload.ipv6) {
                continue;
            }
            let population = turn.population.as_ref().or(workload.population.as_ref());
            let population = population.or(first.and_then(|first| first.population.as_ref()));
            let network = self.ipv6_net.iter().filter(|_| family == Family::V6);
            let common: Vec<String> = network
                .flat_map(|network| ["--ipv6-net".to_owned(), network.clone()])
                .chain(self.generator.iter().cloned())
                .chain(population.into_iter().flatten().cloned())
                .collect();
            let with = |more: &[String]| [common.as_slice(), more].concat();
            let is_started = started.iter().any(|earlier| earlier.name() == turn.name());
            tasks.push(Task {
                workload: workload.key.clone(),
                family,
                name: turn.name().to_owned(),
                server: server.clone(),
                same_start_as: workload.same_start_as.clone().filter(|_| is_started),
                fill: (workload.fill && !is_started && !server.is_echo).then(|| with(&["--fill".to_owned()])),
                load: (!workload.load.is_empty()).then(|| with(&[workload.load.clone(), turn.load].concat())),
                filled_within_secs: turn.filled_within_secs,
                load_after_secs: turn.load_after_secs,
                metric_min: turn.metric_min,
                server_core: self.server_core.filter(|_| !server.roams),
                generator_core: self.generator_core,
            });
        }
        Ok(tasks)
    }

    /// Makes everything so small that it proves the machinery and no more. Servers that are not installed are
    /// left out; answers which.
    pub(super) fn shrink(&mut self) -> Vec<String> {
        const LARGEST: [(&str, f64); 7] = [
            ("--peers", 20_000.0),
            ("--torrents", 4_000.0),
            ("--rate", 20_000.0),
            ("--duration", 0.2),
            ("--warmup", 0.1),
            ("--hold", 0.0),
            ("--timeout", 0.5),
        ];
        let cut = |arguments: &mut Vec<String>| {
            for at in 1..arguments.len() {
                let largest = LARGEST.iter().find(|(name, _)| *name == arguments[at - 1]);
                let said = arguments[at].parse::<f64>();
                if let (Some((_, largest)), Ok(said)) = (largest, said) {
                    arguments[at] = said.min(*largest).to_string();
                }
            }
        };
        self.rounds = 1;
        // Who shares a core with other work may starve there for seconds.
        (self.server_core, self.generator_core) = (None, None);
        self.workload.iter_mut().for_each(|workload| {
            workload.population.iter_mut().for_each(cut);
            cut(&mut workload.load);
            for turn in &mut workload.turn {
                turn.population.iter_mut().for_each(cut);
                cut(&mut turn.load);
                (turn.filled_within_secs, turn.load_after_secs) = (None, 0.0);
                turn.metric_min.clear();
            }
        });
        cut(&mut self.generator);
        self.server.iter_mut().for_each(|server| server.settle_secs = server.settle_secs.min(0.5));
        let (there, missing) = std::mem::take(&mut self.server).into_iter().partition(Server::is_installed);
        self.server = there;
        missing.into_iter().map(|server| server.name).collect()
    }
}

impl Server {
    /// Whether there is what it is asked for its version by, and what is started, where the plan says in which folder
    /// that is.
    fn is_installed(&self) -> bool {
        self.version.first().is_none_or(|program| is_installed(program))
            && self.command.first().is_none_or(|program| !program.contains('/') || is_installed(program))
    }
}

impl Turn {
    pub(super) fn name(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.server)
    }
}

impl Task {
    /// What stands behind an argument of the fill or the load; the last one holds.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        let arguments = self.load.as_ref().or(self.fill.as_ref())?;
        argument(arguments, name)
    }

    /// About how long it will take on a machine that does nothing else, in seconds, when other tasks of the same start
    /// have taken `spent`.
    pub(super) fn guess_secs(&self, spent: f64) -> f64 {
        const FILLED_PER_SECOND: f64 = 250_000.0;
        let number = |arguments: &Vec<String>, name| {
            argument(arguments, name).and_then(|value| value.parse().ok()).unwrap_or(0.0_f64)
        };
        let fill = self.fill.as_ref().map_or(0.0, |fill| {
            let rate = number(fill, "--rate");
            let rate = if rate > 0.0 { rate } else { FILLED_PER_SECOND };
            number(fill, "--peers") / rate + number(fill, "--hold")
        });
        let load = self.load.as_ref().map_or(0.0, |load| {
            number(load, "--warmup") + number(load, "--duration") + number(load, "--peers") / 2e6
        });
        let start = if self.same_start_as.is_some() { 0.0 } else { 1.0 + self.server.settle_secs };
        (start + fill).max(self.load_after_secs - spent) + load
    }
}

pub(super) fn argument<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().rposition(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.contains('/') && Path::new(program).exists()
        || std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A turn of a server of this name.
    pub(crate) fn task(name: &str) -> Task {
        let text = format!(
            "rounds = 5\nserver = [{{ name = '{name}', command = ['{name}'] }}]\n\
             workload = [{{ key = 'w', name = 'w', load = ['--duration', '5'] }}]"
        );
        let plan: Plan = toml::from_str(&text).unwrap();
        plan.tasks(&plan.workload[0], Family::V4).unwrap().remove(0)
    }

    const PLAN: &str = r#"
        rounds = 5
        ipv6_net = "fd00::"
        generator = ["--numwant", "30"]
        server = [
            { name = "a", command = ["a"] },
            { name = "b", command = ["b"], ipv4_only = true },
            { name = "gone", command = ["gone"], version = ["target/no/such/program"] },
            { name = "echo", command = ["echo"], is_echo = true },
            { name = "script", command = ["target/no/such/script"], version = ["sh"] },
        ]
        [[workload]]
        key = "some"
        name = "some"
        population = ["--peers", "3000000", "--torrents", "1000000"]
        load = ["--duration", "5"]
        ipv6 = true
        [[workload]]
        key = "later"
        name = "later"
        same_start_as = "some"
        load = ["--rate", "9"]
        servers = ["a", "echo"]
        [[workload]]
        key = "sizes"
        name = "sizes"
        load = ["--duration", "5"]
        turn = [
            { server = "a", name = "ten", population = ["--peers", "10"] },
            { server = "a", name = "many", population = ["--peers", "900000"], load_after_secs = 60 },
            { server = "a", name = "bad", load = ["--hostile", "0.5"] },
        ]
    "#;

    fn read(text: &str) -> anyhow::Result<Plan> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Plan::read(file.path())
    }

    fn names(plan: &Plan, workload: usize, family: Family) -> Vec<String> {
        let tasks = plan.tasks(&plan.workload[workload], family).unwrap();
        tasks.into_iter().map(|task| task.name).collect()
    }

    #[test]
    fn who_can_has_a_turn() {
        let plan = read(PLAN).unwrap();
        assert_eq!(names(&plan, 0, Family::V4), ["a", "b", "gone", "echo", "script"]);
        assert_eq!(names(&plan, 0, Family::V6), ["a", "gone", "echo", "script"]);
        assert_eq!(names(&plan, 2, Family::V4), ["ten", "many", "bad"]);
        assert!(names(&plan, 2, Family::V6).is_empty());
    }

    #[test]
    fn who_is_filled_already_is_not_filled_again() {
        let plan = read(PLAN).unwrap();
        let tasks = plan.tasks(&plan.workload[1], Family::V4).unwrap();
        assert_eq!(tasks[0].same_start_as.as_deref(), Some("some"));
        assert_eq!(tasks[0].fill, None);
        let waits = Task { load_after_secs: 60.0, ..tasks[0].clone() };
        assert!((waits.guess_secs(20.0) - (40.0 + 1.5)).abs() < 1e-9);
        let load = "--numwant 30 --peers 3000000 --torrents 1000000 --rate 9";
        assert_eq!(tasks[0].load.as_ref().unwrap().join(" "), load);
        for wrong in ["later", "sizes"] {
            let text = PLAN.replace("same_start_as = \"some\"", &format!("same_start_as = \"{wrong}\""));
            assert!(read(&text).is_err(), "{wrong} starts nothing before");
        }
    }

    #[test]
    fn a_fill_and_its_load_meet_the_same_peers() {
        let plan = read(PLAN).unwrap();
        let tasks = plan.tasks(&plan.workload[0], Family::V6).unwrap();
        let common = "--ipv6-net fd00:: --numwant 30 --peers 3000000 --torrents 1000000";
        assert_eq!(tasks[0].fill.as_ref().unwrap().join(" "), format!("{common} --fill"));
        assert_eq!(tasks[0].load.as_ref().unwrap().join(" "), format!("{common} --duration 5"));
        assert_eq!(tasks[2].fill, None, "nothing fills an echo");
        assert!((tasks[0].guess_secs(0.0) - (1.0 + 12.0 + 6.5)).abs() < 1e-9);
        assert_eq!(tasks[0].argument("--peers"), Some("3000000"));
        let bad = plan.tasks(&plan.workload[2], Family::V4).unwrap().remove(2);
        assert_eq!(bad.load.unwrap().join(" "), "--numwant 30 --duration 5 --hostile 0.5");
    }

    #[test]
    fn a_smoke_is_small_and_does_without_what_is_not_installed() {
        let mut plan = read(PLAN).unwrap();
        assert_eq!(plan.shrink(), ["gone", "script"]);
        assert_eq!(names(&plan, 0, Family::V4), ["a", "b", "echo"]);
        let all: Vec<_> =
            [0, 2].into_iter().flat_map(|at| plan.tasks(&plan.workload[at], Family::V4).unwrap()).collect();
        assert!(all.iter().all(|task| task.guess_secs(0.0) < 3.0), "each in seconds");
        assert_eq!(argument(all[3].fill.as_ref().unwrap(), "--peers"), Some("10"), "what is small stays");
        assert_eq!(argument(all[4].fill.as_ref().unwrap(), "--peers"), Some("20000"));
    }

    #[test]
    fn a_plan_that_names_nobody_is_refused() {
        let row = |figure: &str| {
            format!(
                "{PLAN}\n[[row]]\nnumber = 1\nmetric = ''\nfigure = [{{ {figure}, must = 1, kind = 'cost' }}]"
            )
        };
        assert!(read(&row("workload = 'some', of = 'a', over = 'b'")).is_ok());
        for wrong in
            ["workload = 'none', of = 'a'", "workload = 'some', of = 'x'", "workload = 'sizes', of = 'a'"]
        {
            assert!(read(&row(wrong)).is_err(), "{wrong}");
        }
    }
}
