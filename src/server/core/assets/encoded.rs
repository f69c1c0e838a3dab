//! Compressed variants of files: `app.js.br` and `app.js.gz` beside `app.js`.

use std::collections::HashMap;
use std::sync::Arc;

use super::Asset;
use crate::wire::http::ContentCoding;

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
                etag: format!("\"{}-{}\"", variant.etag.trim_matches('"'), coding.name()),
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
