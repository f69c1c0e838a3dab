//! Compressed variants of files: `app.js.br` and `app.js.gz` beside `app.js`. The server compresses a file without `app.js.gz`
//! itself, once when it is loaded.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Asset;
use crate::wire::http::ContentCoding;

/// Compressed contents by the tag of the original; `None` for a content that does not shrink.
pub(crate) type Compressed = HashMap<String, Option<Arc<[u8]>>>;

/// Bytes of files that one load compresses: two seconds of a core. Larger sites compress their files themselves.
const INPUT_BYTES_MAX: usize = 64 << 20;

/// Smallest content to compress, in bytes: a smaller one fits a packet anyway.
const CONTENT_BYTES_MIN: usize = 1_024;

/// Media types other than `text/*` whose content shrinks, with the ends of structured types.
const COMPRESSIBLE: [&str; 6] =
    ["application/json", "application/wasm", "application/xml", "text/javascript", "+json", "+xml"];

/// The first bytes of every gzip file (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Attaches the compressed variants to their files. A variant older than its file would serve outdated
/// content, and one that is not compressed would break in the browser: both are skipped with a warning.
pub(crate) fn attach(by_path: &mut HashMap<String, Asset>) {
    let (mut stale, mut broken) = (Vec::new(), Vec::new());
    for coding in ContentCoding::ALL {
        let extension = extension(coding);
        let plain_of = |key: &String| key.strip_suffix(extension).map(str::to_owned);
        let pairs: Vec<String> =
            by_path.keys().filter_map(plain_of).filter(|plain| by_path.contains_key(plain)).collect();
        for path in pairs {
            let (plain, variant) = (&by_path[&path], &by_path[&format!("{path}{extension}")]);
            if !is_plausible(coding, &variant.body) {
                broken.push(path + extension);
                continue;
            }
            // In whole seconds: archives and some compressors drop the fraction.
            if variant.modified < plain.modified {
                stale.push(path + extension);
                continue;
            }
            let asset = Asset {
                body: Arc::clone(&variant.body),
                content_type: plain.content_type.clone(),
                etag: variant_etag(&variant.etag, coding),
                modified: variant.modified,
                encoded: Default::default(),
            };
            if let Some(plain) = by_path.get_mut(&path) {
                plain.encoded[coding as usize] = Some(Box::new(asset));
            }
        }
    }
    warn("older than the original; compress it again", stale);
    warn("not compressed", broken);
}

/// Compresses the files that have no gzip variant, in the order of their paths. `before` has the contents that the previous load
/// compressed. Returns those in use now.
pub(crate) fn compress(by_path: &mut HashMap<String, Asset>, before: &Compressed) -> Compressed {
    let mut compressed = Compressed::new();
    let mut room = INPUT_BYTES_MAX;
    let mut paths: Vec<String> = by_path.keys().cloned().collect();
    paths.sort_unstable();
    for path in paths {
        let Some(asset) = by_path.get_mut(&path).filter(|asset| is_worth_it(asset)) else { continue };
        if asset.encoded(ContentCoding::Gzip).is_some() {
            continue;
        }
        let known = compressed.get(&asset.etag).or_else(|| before.get(&asset.etag)).cloned();
        let body = match known {
            Some(body) => body,
            None if asset.body.len() <= room => {
                room -= asset.body.len();
                gzip(&asset.body)
            }
            None => continue,
        };
        compressed.insert(asset.etag.clone(), body.clone());
        if let Some(body) = body {
            asset.attach_gzip(&body);
        }
    }
    compressed
}

/// Returns the compressed content, if it is smaller and the media type promises that.
pub(super) fn gzip_of(asset: &Asset) -> Option<Arc<[u8]>> {
    is_worth_it(asset).then(|| gzip(&asset.body)).flatten()
}

fn is_worth_it(asset: &Asset) -> bool {
    let kind = asset.content_type.split(';').next().unwrap_or_default();
    let shrinks = kind.starts_with("text/") || COMPRESSIBLE.iter().any(|end| kind.ends_with(end));
    shrinks && asset.body.len() >= CONTENT_BYTES_MIN
}

fn gzip(body: &[u8]) -> Option<Arc<[u8]>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| compressed.into())
}

/// Returns the tag of a variant, which differs from that of the same bytes under their own name.
pub(super) fn variant_etag(etag: &str, coding: ContentCoding) -> String {
    format!("\"{}-{}\"", etag.trim_matches('"'), coding.name())
}

fn extension(coding: ContentCoding) -> &'static str {
    match coding {
        ContentCoding::Brotli => ".br",
        ContentCoding::Gzip => ".gz",
    }
}

/// Whether a body may be in this coding. Brotli has no magic number, but its output is never empty.
fn is_plausible(coding: ContentCoding, body: &[u8]) -> bool {
    match coding {
        ContentCoding::Brotli => !body.is_empty(),
        ContentCoding::Gzip => body.starts_with(&GZIP_MAGIC),
    }
}

/// Logs one line for all paths.
fn warn(reason: &str, mut paths: Vec<String>) {
    paths.sort();
    if let [first, others @ ..] = &paths[..] {
        let count = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        log::warn!("compressed file not served, because it is {reason}: {first}{count}");
    }
}
