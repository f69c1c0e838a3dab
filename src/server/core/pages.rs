//! The built-in pages, compiled into the binary: the game client and a dashboard.
//!
//! Each page has its own path. Its files are below that path, in a folder named after the hash of their
//! content, so that browsers may cache them forever: another version has another folder. Pages use relative
//! URLs only, since a proxy may serve them below a path prefix that it strips. The rules of the world, which the game page
//! obeys, depend on the configuration and have a path of their own.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::http::REVALIDATE;
use crate::auth::Auth;
use crate::config::Config;
use crate::limits::CLIENT_STEPS_PER_S;
use crate::server::core::assets::Asset;

/// The policy of the built-in pages: they run the scripts and styles beside them, and connect to this server.
/// The operator's own pages (`STATIC_DIR`) are sent without a policy.
const POLICY: (&str, &str) = (
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws: wss:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const REFERRER: (&str, &str) = ("Referrer-Policy", "no-referrer");

const IMMUTABLE: (&str, &str) = ("Cache-Control", "public, max-age=31536000, immutable");

pub(super) const PLAY: &str = "/play";
pub(super) const DASHBOARD: &str = "/dashboard";
/// Path of the rules of the world. Browsers revalidate it, so that a restart with other settings leaves no stale rules.
pub(super) const RULES: &str = "/play/rules.json";

/// Placeholder for the folder of a page's files.
const BASE: &str = "{{base}}";
/// Placeholder for the link to the dashboard.
const DASHBOARD_LINK: &str = "{{dashboard}}";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../../../web/", $name)))),*] };
}

const PLAY_PAGE: &str = include_str!("../../../web/play.html");
const DASHBOARD_PAGE: &str = include_str!("../../../web/dashboard.html");
const PLAY_FILES: [(&str, &str); 13] = files![
    "play.css", "play.js", "bots.js", "connection.js", "effects.js", "input.js", "panels.js",
    "population.js", "protocol.js", "rules.js", "scene.js", "sprites.js", "world.js",
];
const DASHBOARD_FILES: [(&str, &str); 4] = files!["dashboard.css", "dashboard.js", "chart.js", "history.js"];

/// All pages and their files, by path.
#[derive(Debug)]
pub struct Pages {
    by_path: HashMap<String, Page>,
}

/// A page or one of its files.
#[derive(Debug)]
pub struct Page {
    /// The content.
    pub asset: Asset,
    is_file: bool,
}

impl Page {
    /// Returns the rules of the world as JSON, with the names of their settings. The game's messages don't contain them.
    /// With `AUTH=jwt` they include the limit of an account: the page and its bots share one.
    pub fn rules(config: &Config) -> Self {
        let account_limit = match config.auth {
            Auth::None => String::new(),
            Auth::Jwt => format!(",\"connections_per_account\":{}", config.auth_sessions_per_sub),
        };
        let rules = format!(
            "{{\"world_width\":{},\"world_height\":{},\"player_speed\":{},\"steps_per_s\":{CLIENT_STEPS_PER_S},\
             \"attack_duration_ms\":{}{account_limit}}}",
            config.world_width, config.world_height, config.player_speed, config.attack_duration_ms,
        );
        Self { asset: Asset::new(RULES, rules.into_bytes().into()), is_file: false }
    }

    /// Returns the headers for a page, in addition to those of every static file.
    pub fn headers(&self) -> [(&'static str, &'static str); 3] {
        [POLICY, REFERRER, if self.is_file { IMMUTABLE } else { REVALIDATE }]
    }
}

impl Pages {
    /// Returns the pages of this process, which are built once.
    pub fn shared(links_dashboard: bool) -> &'static Pages {
        static LINKING: LazyLock<Pages> = LazyLock::new(|| Pages::new(true));
        static WITHOUT_LINK: LazyLock<Pages> = LazyLock::new(|| Pages::new(false));
        if links_dashboard { &LINKING } else { &WITHOUT_LINK }
    }

    /// Builds the pages, compressed and not. The game page links to the dashboard, unless an admin listener serves it.
    pub fn new(links_dashboard: bool) -> Pages {
        let mut pages = Pages { by_path: HashMap::new() };
        let link = if links_dashboard { "<a href=\"dashboard\">Dashboard</a>" } else { "" };
        pages.add(PLAY, &PLAY_PAGE.replace(DASHBOARD_LINK, link), &PLAY_FILES);
        pages.add(DASHBOARD, DASHBOARD_PAGE, &DASHBOARD_FILES);
        pages
    }

    /// Returns the page or file at a path. With `is_front_page` the game page is also the front page.
    pub fn lookup(&self, path: &str, is_front_page: bool) -> Option<&Page> {
        let path = if is_front_page && matches!(path, "/" | "/index.html") { PLAY } else { path };
        self.by_path.get(path)
    }

    fn add(&mut self, address: &str, page: &str, files: &[(&str, &str)]) {
        let all: String = files.iter().map(|(_, text)| *text).collect();
        let version = Asset::new("", all.as_bytes().into()).etag;
        let folder = format!("{address}/{}/", version.trim_matches('"'));
        for (name, text) in files {
            let asset = Asset::new(name, text.as_bytes().into()).with_gzip();
            self.by_path.insert(format!("{folder}{name}"), Page { asset, is_file: true });
        }
        let base = folder.trim_start_matches('/');
        let asset = Asset::new("index.html", page.replace(BASE, base).into_bytes().into()).with_gzip();
        self.by_path.insert(address.to_owned(), Page { asset, is_file: false });
    }
}

/// Whether a path is the dashboard or one of its files.
pub fn is_dashboard_path(path: &str) -> bool {
    path.strip_prefix(DASHBOARD).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Returns the parts of a text between these delimiters.
    fn named<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
    }

    #[test]
    fn every_page_has_exactly_the_files_it_uses() {
        for (page, files) in [(PLAY_PAGE, &PLAY_FILES[..]), (DASHBOARD_PAGE, &DASHBOARD_FILES[..])] {
            let mut needed: BTreeSet<&str> = named(page, BASE, '"').into_iter().collect();
            for (_, text) in files {
                needed.extend(named(text, "from './", '\''));
            }
            assert_eq!(needed, files.iter().map(|(name, _)| *name).collect());
        }
    }

    #[test]
    fn a_page_links_its_files_and_has_no_inline_script() {
        let pages = Pages::new(true);
        for address in [PLAY, DASHBOARD] {
            let page = pages.lookup(address, false).expect("the page exists");
            let text = std::str::from_utf8(&page.asset.body).expect("pages are UTF-8");
            let links =
                named(text, "src=\"", '"').into_iter().chain(named(text, "rel=\"stylesheet\" href=\"", '"'));
            for link in links {
                let file = pages.lookup(&format!("/{link}"), false);
                assert!(file.is_some_and(|file| file.is_file), "{link}");
            }
            assert!(
                !text.contains("{{") && !text.contains("style=") && !text.contains("onclick"),
                "{address}"
            );
            assert!(named(text, "<script", '>').iter().all(|script| script.contains("src=")), "{address}");
        }
    }

    #[test]
    fn the_game_is_the_front_page_if_there_is_no_other() {
        let pages = Pages::new(true);
        assert!(pages.lookup("/", false).is_none());
        let front = pages.lookup("/", true).expect("a page");
        assert_eq!(front.asset.etag, pages.lookup("/play", true).expect("a page").asset.etag);
    }

    #[test]
    fn the_game_links_a_dashboard_on_the_same_listener() {
        let has_link = |pages: &Pages| {
            let page = pages.lookup(PLAY, false).expect("a page");
            String::from_utf8_lossy(&page.asset.body).contains("\"dashboard\"")
        };
        assert!(has_link(&Pages::new(true)));
        assert!(!has_link(&Pages::new(false)));
    }

    #[test]
    fn the_dashboard_path_does_not_match_longer_names() {
        assert!(is_dashboard_path("/dashboard") && is_dashboard_path("/dashboard/1/dashboard.js"));
        assert!(!is_dashboard_path("/dashboards") && !is_dashboard_path("/play"));
    }
}
