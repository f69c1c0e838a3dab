//! The dashboard's layout: a title line, the servers if there are several, three trends, blocks of figures, and a
//! line of keys. The table of players is beside the figures, or in their place. Content that does not fit is cut off at the bottom.

use std::time::Duration;

use pixi_game_server::control::players::Listed;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, RenderDirection, Row, Sparkline, Table, TableState};

use super::history::{History, Trend};
use super::plain::{
    Block as Figures, NODES, blocks, bytes, integer, line, memory, nanoseconds, silence, uptime,
};
use super::players::Players;
use game_client::endpoint::Server;
use game_client::text::thousands;

/// Smallest height of a trend with its frame, and its fraction of a taller screen.
const TREND_HEIGHT_MIN: u16 = 6;
const TREND_PART: u16 = 4;

/// Most rows of servers.
const SERVER_ROWS_MAX: usize = 8;

/// Most rows of nodes.
const NODE_ROWS_MAX: usize = 8;

/// Smallest width for figures beside the table of players, and the width of those figures.
const BOTH_WIDTH_MIN: u16 = 160;
const FIGURES_WIDTH: u16 = 80;

const KEYS: &str = " q quit   Tab or 1-9 server   p pause   + - interval   l players";

/// The content of the screen.
pub struct Screen<'a> {
    /// The servers.
    pub servers: &'a [Server],
    /// The history of each server.
    pub histories: &'a [History],
    /// Index of the selected server.
    pub selected: usize,
    /// The polling interval.
    pub interval: Duration,
    /// Whether responses are ignored.
    pub is_paused: bool,
    /// The table of players.
    pub players: &'a Players,
}

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen<'_>) {
    let servers_height =
        if screen.servers.len() > 1 { screen.servers.len().min(SERVER_ROWS_MAX) as u16 + 1 } else { 0 };
    let [title, servers, trends, figures, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(servers_height),
        Constraint::Length(TREND_HEIGHT_MIN.max(frame.area().height / TREND_PART)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let history = &screen.histories[screen.selected];
    frame.render_widget(Paragraph::new(title_line(screen, history)), title);
    if servers_height > 0 {
        draw_servers(frame, screen, servers);
    }
    draw_trends(frame, history, trends);
    let (figures, players) = match (screen.players.is_shown(), figures.width) {
        (false, _) => (Some(figures), None),
        (true, ..BOTH_WIDTH_MIN) => (None, Some(figures)),
        (true, _) => {
            let widths = [Constraint::Length(FIGURES_WIDTH), Constraint::Fill(1)];
            let [left, right] = Layout::horizontal(widths).areas(figures);
            (Some(left), Some(right))
        }
    };
    if let Some(area) = figures {
        draw_figures(frame, history, area);
    }
    if let Some(area) = players {
        draw_players(frame, screen.players, area);
    }
    let line = screen.players.line().unwrap_or_else(|| KEYS.to_owned());
    frame.render_widget(Paragraph::new(line).style(Style::new().add_modifier(Modifier::DIM)), keys);
}

fn title_line<'a>(screen: &Screen<'_>, history: &History) -> Line<'a> {
    let name = &screen.servers[screen.selected].name;
    let state = match (history.unreachable(), silence(history)) {
        (Some((since, why)), _) => format!("UNREACHABLE for {} s: {why}", since.elapsed().as_secs()),
        (None, Some(why)) => why.to_owned(),
        (None, None) => {
            let node = history.last().and_then(|metrics| metrics["node"].as_str());
            let node = node.map_or(String::new(), |node| format!("   node {node}"));
            format!("up {}{node}", uptime(history.number("uptime_seconds")))
        }
    };
    let paused = if screen.is_paused { "   PAUSED" } else { "" };
    let text = format!(" {name}   {state}   every {:.2} s{paused}", screen.interval.as_secs_f64());
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn draw_servers(frame: &mut Frame<'_>, screen: &Screen<'_>, area: Rect) {
    // The selected server is always visible.
    let first = (screen.selected + 1).saturating_sub(SERVER_ROWS_MAX);
    let widths = [23, 7, 7, 8, 9, 5, 9, 3].map(Constraint::Length);
    let mut areas = area.rows();
    let header = Row::new([" server", "players", "ticks/s", "tick p99", "out/s", "cores", "memory", "gov"]);
    let header = Table::new([header.style(Style::new().add_modifier(Modifier::DIM))], widths);
    frame.render_widget(header, areas.next().unwrap_or_default());
    for (area, index) in areas.zip(first..screen.servers.len()) {
        let (name, history) = (&screen.servers[index].name, &screen.histories[index]);
        let style = if index == screen.selected { Modifier::REVERSED } else { Modifier::empty() };
        if silence(history).is_some() {
            frame.render_widget(Paragraph::new(format!(" {}", line(name, history))).style(style), area);
        } else {
            let row = Row::new(server_cells(name, history));
            frame.render_widget(Table::new([row.style(style)], widths), area);
        }
    }
}

fn server_cells(name: &str, history: &History) -> [String; 8] {
    [
        format!(" {name}"),
        integer(history.number("players")),
        format!("{:.1}", history.number("tick_rate_hz")),
        nanoseconds(history.number("tick_p99_ns")),
        bytes(history.rate("bytes_out")),
        format!("{:.2}", history.rate("cores")),
        memory(history.number("resident_bytes")),
        format!("{:.0}", history.number("governor_level")),
    ]
}

fn draw_trends(frame: &mut Frame<'_>, history: &History, area: Rect) {
    let thirds = Layout::horizontal([Constraint::Fill(1); 3]).split(area);
    let trends = [
        (Trend::Players, format!(" players {} ", integer(history.number("players")))),
        (Trend::TickP99, format!(" tick p99 {} ", nanoseconds(history.number("tick_p99_ns")))),
        (Trend::BytesOut, format!(" out {}/s ", bytes(history.rate("bytes_out")))),
    ];
    for ((trend, title), third) in trends.into_iter().zip(thirds.iter()) {
        // The newest point is at the right edge, even if there are few.
        let mut points = history.trend(trend, usize::from(third.width.saturating_sub(2)));
        points.reverse();
        let sparkline = Sparkline::default()
            .block(Block::bordered().title(title))
            .direction(RenderDirection::RightToLeft)
            .data(points);
        frame.render_widget(sparkline, *third);
    }
}

fn draw_figures(frame: &mut Frame<'_>, history: &History, area: Rect) {
    let mut blocks = blocks(history);
    let nodes = blocks.pop_if(|(title, _)| *title == NODES);
    let nodes_height = nodes.as_ref().map_or(0, |(_, rows)| rows.len().min(NODE_ROWS_MAX) as u16 + 2);
    let [nodes_area, area] =
        Layout::vertical([Constraint::Length(nodes_height), Constraint::Fill(1)]).areas(area);
    if let Some(block) = nodes {
        draw_block(frame, &block, nodes_area);
    }
    // Four columns if they fit, otherwise two rows of two.
    let is_wide = area.width >= 140;
    let columns = if is_wide { 4 } else { 2 };
    let heights = vec![Constraint::Fill(1); blocks.len().div_ceil(columns)];
    let lines = Layout::vertical(heights).split(area);
    for (blocks, line) in blocks.chunks(columns).zip(lines.iter()) {
        let areas = Layout::horizontal(vec![Constraint::Fill(1); columns]).split(*line);
        for (block, area) in blocks.iter().zip(areas.iter()) {
            draw_block(frame, block, *area);
        }
    }
}

fn draw_block(frame: &mut Frame<'_>, (title, rows): &Figures, area: Rect) {
    let rows = rows.iter().map(|(name, value)| Row::new([name.clone(), value.clone()]));
    let widths = [Constraint::Length(18), Constraint::Fill(1)];
    let table = Table::new(rows, widths).block(Block::bordered().title(format!(" {title} ")));
    frame.render_widget(table, area);
}

fn draw_players(frame: &mut Frame<'_>, players: &Players, area: Rect) {
    let header = Row::new(["id", "address", "age", "acks", "rejected", "bytes", "rtt"]);
    let widths = [10, 0, 7, 9, 8, 9, 6]
        .map(|width| if width == 0 { Constraint::Fill(1) } else { Constraint::Length(width) });
    let table = Table::new(players.rows().iter().map(|player| Row::new(player_cells(player))), widths)
        .header(header.style(Style::new().add_modifier(Modifier::DIM)))
        .row_highlight_style(Modifier::REVERSED)
        .block(Block::bordered().title(players.title()));
    let mut state = TableState::new().with_selected(players.selected_row());
    frame.render_stateful_widget(table, area, &mut state);
}

fn player_cells(player: &Listed) -> [String; 7] {
    [
        player.id.to_string(),
        player.address.clone().unwrap_or_default(),
        uptime(player.age_s as f64),
        thousands(player.acks),
        thousands(player.rejected),
        bytes((player.bytes_in + player.bytes_out) as f64),
        player.round_trip_ms.map_or(String::new(), |time_ms| format!("{time_ms} ms")),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;
    use crate::monitor::players::tests::shown;
    use crate::monitor::poll::Response;

    fn servers(count: usize) -> Vec<Server> {
        (1..=count).map(|number| Server::at(([127, 0, 0, number as u8], 8108).into())).collect()
    }

    fn busy() -> History {
        let (start, mut history) = (Instant::now(), History::default());
        for second in 0..30u64 {
            let metrics = json!({
                "players": second * 1_000, "tick_rate_hz": 60.0, "tick_p50_ns": 120_000, "tick_p99_ns": 240_000,
                "ticks_total": second * 60, "uptime_seconds": second, "bytes_out_total": second * 39_000_000,
                "resident_bytes": 30_000_000, "governor_level": 6, "governor_level_max": 7, "frames_out": { "ack": second * 20_000 },
                "refused": { "full": 3, "upgrade": 0 }, "closed": { "reset": 9 }, "cpu_ns_total": second * 810_000_000,
            });
            history.record(Response { at: start + Duration::from_secs(second), metrics: Ok(metrics) });
        }
        history
    }

    fn drawn(width: u16, height: u16, histories: &[History]) -> String {
        drawn_with(width, height, histories, &Players::default())
    }

    fn drawn_with(width: u16, height: u16, histories: &[History], players: &Players) -> String {
        let servers = servers(histories.len());
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let screen = Screen {
            servers: &servers,
            histories,
            selected: 0,
            interval: Duration::from_secs(1),
            is_paused: false,
            players,
        };
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_usual_terminal_shows_every_important_figure() {
        for (width, height) in [(80, 24), (200, 60)] {
            let text = drawn(width, height, &[busy()]);
            for words in [
                "players 29,000", "tick p99 240 us", "out 39.00 MB/s", "20,000", "level 6 of 7",
                "0.81 cores", "28.6 MiB", "refused full", "closed reset", "ticks skipped", "q quit",
            ] {
                assert!(text.contains(words), "{width}x{height}: {words} is missing\n{text}");
            }
        }
    }

    #[test]
    fn every_server_has_a_row_with_its_state() {
        let mut unreachable = busy();
        unreachable.record(Response { at: Instant::now(), metrics: Err("connection refused".to_owned()) });
        let text = drawn(80, 30, &[busy(), unreachable, History::default()]);
        assert!(text.contains("127.0.0.2:8108  unreachable: connection refused"), "{text}");
        assert!(text.contains("127.0.0.3:8108  unreachable: no response yet"), "{text}");
        assert!(text.contains("60.0"), "{text}");
    }

    #[test]
    fn players_are_beside_the_figures_or_in_their_place() {
        let mut players = shown(&(101..=199).collect::<Vec<_>>());
        for _ in 0..90 {
            players.key(b'j');
        }
        for (width, height, has_figures) in [(80, 24, false), (200, 60, true)] {
            let text = drawn_with(width, height, &[busy()], &players);
            for words in ["99 of 99 players, by id", "│191        192.0.2.191", "x kick", "tick p99 240 us"]
            {
                assert!(text.contains(words), "{width}x{height}: {words} is missing\n{text}");
            }
            assert_eq!(text.contains("28.6 MiB"), has_figures, "{text}");
        }
    }

    #[test]
    fn any_size_can_be_drawn() {
        for (width, height) in [(1, 1), (2, 3), (20, 5), (39, 12), (500, 2)] {
            drawn(width, height, &[busy()]);
            drawn(width, height, &[busy(), History::default()]);
            drawn_with(width, height, &[busy()], &shown(&[7]));
        }
    }
}
