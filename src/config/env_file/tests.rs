//! Environment files in common forms, and the messages about malformed ones.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<EnvFile, Vec<String>> {
    EnvFile::parse(Path::new("game.env"), text.as_bytes())
}

fn values<const N: usize>(text: &str, names: [&str; N]) -> [Option<String>; N] {
    let file = parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    names.map(|name| file.value(name).map(str::to_owned))
}

/// The value of `LOG_FILE`, which may be any text.
fn value(written: &str) -> String {
    let [value] = values(&format!("LOG_FILE={written}\n"), ["LOG_FILE"]);
    value.unwrap_or_else(|| panic!("{written}: no value"))
}

fn problems(text: &str) -> Vec<String> {
    parse(text).map_or_else(|problems| problems, |_| panic!("{text}: accepted"))
}

#[test]
fn lines_are_settings_comments_or_blank() {
    let text = "# limits\n\n ; more\n\t# and more\n PORT=1 \nSTATIC_DIR='/a b'\nLOG_FILE=\"/x=y\"\nPORT = 2\nHOST=\n";
    let names = ["PORT", "STATIC_DIR", "LOG_FILE", "HOST", "DEBUG"];
    let expected = [Some("2"), Some("/a b"), Some("/x=y"), Some(""), None];
    assert_eq!(values(text, names), expected.map(|value| value.map(str::to_owned)));
    assert_eq!(parse(text).unwrap().position("PORT"), "game.env:8:8");
}

#[test]
fn windows_files_are_parsed() {
    let text = "\u{feff}PORT=1\r\nHOST='::'\r\n# end\r\n\r\nTICK_RATE=30\r";
    let expected = [Some("1"), Some("::"), Some("30")];
    assert_eq!(values(text, ["PORT", "HOST", "TICK_RATE"]), expected.map(|value| value.map(str::to_owned)));
}

#[test]
fn shell_files_with_export_are_parsed() {
    let text = "export PORT=1\n  export\tHOST=::\nexportPORT=3\n";
    assert_eq!(problems(text), ["game.env:3:1: no setting has this name; see --help"]);
    let text = "export PORT=1\n  export\tHOST=::\n";
    assert_eq!(values(text, ["PORT", "HOST"]), [Some("1".to_owned()), Some("::".to_owned())]);
}

#[test]
fn a_comment_starts_with_a_space_and_a_number_sign() {
    for (written, expected) in [
        ("/a # comment", "/a"),
        ("/a\t#comment", "/a"),
        ("/a#b # c # d", "/a#b"),
        ("/a#b", "/a#b"),
        ("#b", "#b"),
        (" # comment", ""),
        ("'/a # b' # comment", "/a # b"),
        ("\"/a # b\"\t# it's", "/a # b"),
        ("''", ""),
        ("\"\"  ", ""),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn quotes_enclose_a_value_or_are_part_of_it() {
    for (written, expected) in [
        ("'a\"b\\'", "a\"b\\"),
        ("\"it's\"", "it's"),
        ("\"a\\\"b\\\\c\\$d\\`e\\nf\"", "a\"b\\c$d`e\\nf"),
        ("a'b\"c", "a'b\"c"),
        ("$HOME/a", "$HOME/a"),
        ("' a '", " a "),
        ("C:\\x", "C:\\x"),
    ] {
        assert_eq!(value(written), expected, "{written}");
    }
}

#[test]
fn syntax_errors_are_reported_with_line_and_column() {
    let text = "PORT\n=3\nMAX_VISIBEL=1\nGOGC=50\nexport  TICK_RAT=1\nJBSWY3DP====\nhunter_two=1\nPORT 5\n\
                HOST='a\"\n  LOG_FILE= \"x\\\"\nHOST='a'b\nHOST='a'#b\nLOG_FILE=ä\u{0}\nLOG_FILE=a\rb\nLOG_FILE=/a \\\n\
                HOST=\u{1b}[2J\n# \u{7}";
    let expected = [
        "game.env:1:5: expected NAME=value",
        "game.env:2:1: no setting has this name; see --help",
        "game.env:3:1: MAX_VISIBEL: no setting has this name; see --help",
        "game.env:5:9: TICK_RAT: no setting has this name; see --help",
        "game.env:6:1: no setting has this name; see --help",
        "game.env:7:1: no setting has this name; see --help",
        "game.env:8:6: expected NAME=value",
        "game.env:9:6: missing closing quote",
        "game.env:10:13: missing closing quote",
        "game.env:11:9: unexpected text after the closing quote; a comment starts with a space and #",
        "game.env:12:9: unexpected text after the closing quote; a comment starts with a space and #",
        "game.env:13:11: unexpected control character U+0000",
        "game.env:14:11: unexpected control character U+000D",
        "game.env:15:13: a value can't continue on the next line; quote a value that ends in \\",
        "game.env:16:6: unexpected control character U+001B",
        "game.env:17:3: unexpected control character U+0007",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn no_problem_repeats_a_value() {
    for text in [
        "CLUSTER_SECRET='hunter2", "CLUSTER_SECRET='x'hunter2", "CLUSTER_SECRET=hunter2\\",
        "CLUSTER_SECRET=hunter2\u{1}", "hunter2", "hunter2=x", "CLUSTER_SECRET hunter2",
    ] {
        let problems = problems(text);
        assert!(problems.len() == 1 && !problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn another_encoding_is_reported() {
    let problems = EnvFile::parse(Path::new("game.env"), b"PORT=1\nLOG_FILE=\xc3\xa4\xe4\n").err().unwrap();
    assert_eq!(problems, ["game.env:2:11: not valid UTF-8"]);
    let folder = std::env::temp_dir().join(format!("pixi-env-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [("little.env", b"\xff\xfeP\0"), ("big.env", b"\xfe\xff\0P")] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let problems = EnvFile::read(&path).unwrap_err();
        let what = "it starts with a UTF-16 byte order mark: save it as UTF-8";
        assert_eq!(problems, [format!("--env-file {}: can't be read: {what}", path.display())]);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_missing_or_too_large_file_is_reported() {
    let problems = EnvFile::read(Path::new("/nowhere/game.env")).unwrap_err();
    assert!(problems[0].starts_with("--env-file /nowhere/game.env: can't be read: "), "{problems:?}");
    let problems = EnvFile::read(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(problems, ["--env-file /dev/zero: can't be read: it is longer than 65536 bytes"]);
}

#[test]
fn quotes_are_written_only_where_they_are_needed() {
    for (value, written) in [
        ("", "LOG_FILE="),
        ("/var/log/a name=with spaces.log", "LOG_FILE=/var/log/a name=with spaces.log"),
        ("/a#b", "LOG_FILE=/a#b"),
        ("/a #b", "LOG_FILE='/a #b'"),
        ("'a'", "LOG_FILE=\"'a'\""),
        ("/a\\", "LOG_FILE='/a\\'"),
    ] {
        assert_eq!(write("LOG_FILE", value), written);
    }
}

/// Any text without control characters, with many special characters.
fn any_value() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec!['#', '\'', '"', '\\', '$', '`', ' ', '\t', '=', ';', '\u{feff}']);
    let any = any::<char>().prop_filter("a control character", |character| !character.is_control());
    prop::collection::vec(prop_oneof![special, any], 0..12)
        .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #[test]
    fn a_written_file_parses_to_the_same_values(written in prop::collection::btree_map(
        prop::sample::select(SETTINGS).prop_map(|setting| setting.variable), any_value(), 0..8)
    ) {
        let lines: Vec<_> = written.iter().map(|(variable, value)| write(variable, value)).collect();
        for end in ["\n", "\r\n"] {
            let file = parse(&(lines.join(end) + end)).map_err(|problems| TestCaseError::fail(problems.join("\n")))?;
            let read: BTreeMap<_, _> =
                file.values.iter().map(|(variable, value)| (variable.as_str(), value.text.clone())).collect();
            prop_assert_eq!(&read, &written);
        }
    }

    #[test]
    fn any_bytes_parse_or_give_problems_with_positions(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problems) = EnvFile::parse(Path::new("game.env"), &bytes) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let mut parts = problem.split(':').skip(1);
                let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
                prop_assert!(number() >= Some(1) && number() >= Some(1), "{}", problem);
            }
        }
    }
}
