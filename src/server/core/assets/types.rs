//! Content types by file extension.

use std::borrow::Cow;

/// Types that `mime_guess` lacks, or has under another name than the registered one: JavaScript modules,
/// textures and models of games, the font and sprite sheets of Pixi and Spine.
const OWN: [(&str, &str); 17] = [
    ("atlas", "text/plain"),
    ("cur", "image/x-icon"),
    ("fnt", "text/plain"),
    ("frag", "text/plain"),
    ("glsl", "text/plain"),
    ("ktx2", "image/ktx2"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("mjs", "text/javascript"),
    ("mtl", "model/mtl"),
    ("obj", "model/obj"),
    ("otf", "font/otf"),
    ("ts", "video/mp2t"),
    ("vert", "text/plain"),
    ("woff", "font/woff"),
    // Not `text/xml`, whose charset parameter would override the declaration in the document.
    ("xml", "application/xml"),
];

/// Returns the `Content-Type` for a file name. Text is UTF-8; an unknown extension is a byte stream.
pub(super) fn content_type(path: &str) -> Cow<'static, str> {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, ext)| ext);
    let own = OWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension)).map(|&(_, own)| own);
    let guess = || mime_guess::from_ext(extension).first_raw();
    match own.or_else(guess) {
        Some(text) if text.starts_with("text/") => format!("{text}; charset=utf-8").into(),
        Some(other) => other.into(),
        None => "application/octet-stream".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_registered_ones() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("old.HTM", "text/html; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("js/app.min.MJS", "text/javascript; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("table.csv", "text/csv; charset=utf-8"),
            ("captions.vtt", "text/vtt; charset=utf-8"),
            ("hero.atlas", "text/plain; charset=utf-8"),
            ("font.fnt", "text/plain; charset=utf-8"),
            ("sheet.json", "application/json"),
            ("app.js.map", "application/json"),
            ("feed.xml", "application/xml"),
            ("app.webmanifest", "application/manifest+json"),
            ("game.wasm", "application/wasm"),
            ("paper.pdf", "application/pdf"),
            ("hero.png", "image/png"),
            ("hero.jpeg", "image/jpeg"),
            ("hero.gif", "image/gif"),
            ("hero.webp", "image/webp"),
            ("hero.avif", "image/avif"),
            ("hero.svg", "image/svg+xml"),
            ("favicon.ico", "image/x-icon"),
            ("hero.ktx2", "image/ktx2"),
            ("hero.basis", "application/octet-stream"),
            ("tune.mp3", "audio/mpeg"),
            ("tune.ogg", "audio/ogg"),
            ("tune.opus", "audio/ogg"),
            ("tune.wav", "audio/wav"),
            ("tune.m4a", "audio/mp4"),
            ("tune.flac", "audio/flac"),
            ("film.mp4", "video/mp4"),
            ("film.webm", "video/webm"),
            ("font.woff", "font/woff"),
            ("font.woff2", "font/woff2"),
            ("font.ttf", "font/ttf"),
            ("font.otf", "font/otf"),
            ("hero.glb", "model/gltf-binary"),
            ("hero.gltf", "model/gltf+json"),
            ("source.tar.gz", "application/gzip"),
            ("app.js.br", "application/octet-stream"),
            ("v1.png/raw", "application/octet-stream"),
            ("png", "application/octet-stream"),
            ("hero.none", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
