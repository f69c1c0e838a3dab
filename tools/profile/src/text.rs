//! Formatting of numbers and function names.

/// Prefix of the names of the server's functions.
const PROJECT: &str = "pixi_game_server::";

/// Formats a part of a whole as a percentage; 0 if the whole is 0.
pub fn percent(part: u64, whole: u64) -> String {
    format!("{:5.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Formats bytes in B, kB or MB, depending on their magnitude.
pub fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        few if few < 10_000.0 => format!("{few} B"),
        some if some < 1e7 => format!("{:.1} kB", some / 1e3),
        many => format!("{:.1} MB", many / 1e6),
    }
}

/// Whether a function belongs to the server's crate, as opposed to a library or the kernel.
pub fn is_ours(function: &str) -> bool {
    function.trim_start_matches(['<', '&']).starts_with(PROJECT)
}

/// Returns a function's name without the crate. For a method whose `impl` block is in another module than its type,
/// drops the type as well: `server::core::flush::<impl server::Server>::write_slice` becomes
/// `server::core::flush::write_slice`.
pub fn short_name(function: &str) -> String {
    let name = function.replace(PROJECT, "");
    match name.split_once("::<impl ").and_then(|(module, rest)| Some((module, rest.split_once(">::")?.1))) {
        Some((module, method)) if is_ours(function) => format!("{module}::{method}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_a_unit_of_their_magnitude() {
        assert_eq!([512, 65_536, 31_239_642].map(bytes), ["512 B", "65.5 kB", "31.2 MB"]);
        assert_eq!((percent(1, 8), percent(0, 0)), (" 12.5 %".to_owned(), "  0.0 %".to_owned()));
    }

    #[test]
    fn crate_and_type_are_dropped_from_names_of_the_server_only() {
        let method =
            "pixi_game_server::server::core::flush::<impl pixi_game_server::server::Server>::write_slice";
        assert_eq!(short_name(method), "server::core::flush::write_slice");
        assert_eq!(
            short_name("pixi_game_server::replication::flush::write_flush"),
            "replication::flush::write_flush"
        );
        assert_eq!(short_name("alloc::slice::<impl [T]>::to_vec"), "alloc::slice::<impl [T]>::to_vec");
        assert!(is_ours("<pixi_game_server::wire::Memory as std::io::Read>::read"));
        assert!(!is_ours("core::ptr::drop_in_place<pixi_game_server::replication::Viewer>"));
    }
}
