//! Responses from memory: the built-in pages and the files of `STATIC_DIR`.

use std::sync::Arc;

use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::http::{NO_SNIFF, NO_STORE, REVALIDATE, RequestOutcome, allow, keep_alive};
use super::http_budget::HttpBudget;
use super::http_queue::HttpQueue;
use super::metrics_cache::MetricsCache;
use super::pages::{Page, Pages};
use super::routes::{file_at, is_builtin, page_at};
use super::system::{Listener, System};
use super::table::Token;
use super::{Core, http, routes};
use crate::config::Config;
use crate::ops::metrics::Refused;
use crate::server::core::assets::{Asset, Assets};
use crate::wire::http::{Method, Request, Response, Selection, Status, Validators, negotiate_coding};

/// What HTTP serves, and when.
#[derive(Debug)]
pub(super) struct Site {
    pub assets: Arc<Assets>,
    pub pages: &'static Pages,
    /// The rules of the world, for the game page.
    pub rules: Page,
    pub metrics_cache: MetricsCache,
    /// Connections with HTTP work.
    pub queue: HttpQueue,
    /// The share of the loop's time that HTTP may use.
    pub budget: HttpBudget,
}

impl Site {
    pub fn new(assets: Assets, config: &Config, now_ns: u64) -> Self {
        Self {
            assets: Arc::new(assets),
            pages: Pages::shared(config.admin_addr.is_none()),
            rules: Page::rules(config),
            metrics_cache: MetricsCache::default(),
            queue: HttpQueue::default(),
            budget: HttpBudget::new(now_ns),
        }
    }
}

/// Builds the pages that this configuration serves, unless that has happened. Otherwise the first core does.
pub fn build_pages(config: &Config) {
    Pages::shared(config.admin_addr.is_none());
}

const ACCEPT_RANGES: (&str, &str) = ("Accept-Ranges", "bytes");
/// For encoded variants: a cache must not serve one to a client that does not accept it.
const VARY: (&str, &str) = ("Vary", "Accept-Encoding");

/// Returns the path without a trailing slash if that is a built-in path and no file exists at `path`.
pub(super) fn without_slash<'a, S: System>(core: &Core<S>, path: &'a str, listener: Listener) -> &'a str {
    match path.strip_suffix('/') {
        Some(bare) if is_builtin(&core.config, listener, bare) => {
            let is_file = file_at(&core.site.assets, listener, path).is_some();
            if is_file { path } else { bare }
        }
        _ => path,
    }
}

/// Responds with a page or a file. `path` is the request's path after [`without_slash`].
pub(super) fn answer_file<S: System>(core: &mut Core<S>, token: Token, request: &Request, path: &str) {
    let date = core.date();
    if path.len() < request.path.len() {
        // A page has one canonical path, since its links are relative.
        let name = path.rsplit('/').next().unwrap_or_default();
        return answer_moved(core, token, request, &format!("../{name}"));
    }
    let listener = routes::listener_of(core, token);
    let page = page_at(&core.site, &core.config, listener, path);
    let file = || file_at(&core.site.assets, listener, path);
    let Some(asset) = page.map(|page| &page.asset).or_else(file) else {
        return answer_no_file(core, token, request, listener);
    };
    let has_encodings = asset.has_encodings();
    let accepted = request.accept_encoding.as_deref().filter(|_| has_encodings);
    let form = negotiate_coding(accepted, |coding| asset.encoded(coding).is_some());
    let sent = form.and_then(|coding| asset.encoded(coding)).unwrap_or(asset);
    let length = sent.body.len();
    // RFC 9110, section 8.8.2.1: `Last-Modified` is not later than the response's date.
    let modified = sent.modified.map(|modified| modified.min(date.http_date));
    let validators = Validators { etag: &sent.etag, modified };
    let (status, part) = match request.preconditions.evaluate(request.method, validators, length) {
        Selection::Full => (Status::Ok, 0..length),
        Selection::Partial(part) => (Status::PartialContent, part),
        Selection::NotModified => (Status::NotModified, 0..0),
        Selection::PreconditionFailed => return answer_failed(core, token, request, has_encodings),
        Selection::RangeNotSatisfiable => {
            return answer_unsatisfiable(core, token, request, length, has_encodings);
        }
    };
    let last_modified = modified.map(|modified| modified.to_string());
    let content_range = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
    let mut headers = vec![("ETag", sent.etag.as_str()), ACCEPT_RANGES, NO_SNIFF];
    headers.extend(last_modified.as_deref().map(|date| ("Last-Modified", date)));
    headers.extend(has_encodings.then_some(VARY));
    if status != Status::NotModified {
        headers.extend(form.map(|coding| ("Content-Encoding", coding.name())));
    }
    if status == Status::PartialContent {
        headers.push(("Content-Range", &content_range));
    }
    match page {
        Some(page) => headers.extend(page.headers()),
        None => headers.push(REVALIDATE),
    }
    let Asset { body, content_type, .. } = sent;
    let response = Response {
        status,
        content_type,
        headers: &headers,
        body: &body[part.clone()],
        head_only: request.method == Method::Head,
        keep_alive: request.keep_alive,
    };
    let Some(connection) = core.connections.get_mut(token) else { return };
    response.write_head(connection.outbox.bytes(), &date);
    if !response.head_only && !part.is_empty() {
        connection.outbox.send_body(Arc::clone(body), part);
    }
}

/// Responds to a path without a file: redirects to a folder, whose path ends in a slash because the links
/// of its index are relative, or responds 404.
fn answer_no_file<S: System>(core: &mut Core<S>, token: Token, request: &Request, listener: Listener) {
    if listener == Listener::Admin || !core.site.assets.is_folder(&request.path) {
        return answer_not_found(core, token, request);
    }
    let name = request.path.rsplit('/').next().unwrap_or_default();
    answer_moved(core, token, request, &format!("./{name}/"));
}

/// Redirects to a location relative to the requested one, which stays valid behind a proxy that strips a
/// path prefix. The location begins with a dot, so that no part of it can be parsed as a host or scheme.
fn answer_moved<S: System>(core: &mut Core<S>, token: Token, request: &Request, address: &str) {
    let query = request.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let address = format!("{address}{query}");
    let location = utf8_percent_encode(&address, CONTROLS).to_string();
    let headers = [("Location", location.as_str()), REVALIDATE];
    let line = "moved to the address in Location\n";
    answer_line(core, token, request, Status::MovedPermanently, &headers, line);
}

/// Responds 412: the file does not match the request's conditions.
fn answer_failed<S: System>(core: &mut Core<S>, token: Token, request: &Request, has_encodings: bool) {
    let headers = [NO_STORE, VARY];
    let headers = if has_encodings { &headers[..] } else { &headers[..1] };
    let line = "the file does not match the request's conditions\n";
    answer_line(core, token, request, Status::PreconditionFailed, headers, line);
}

/// Responds 416: the requested range is outside the `length` bytes of the file.
fn answer_unsatisfiable<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    length: usize,
    has_encodings: bool,
) {
    let content_range = format!("bytes */{length}");
    let headers = [NO_STORE, ACCEPT_RANGES, ("Content-Range", content_range.as_str()), VARY];
    let headers = if has_encodings { &headers[..] } else { &headers[..3] };
    let line = "the file ends before the range begins\n";
    answer_line(core, token, request, Status::RangeNotSatisfiable, headers, line);
}

/// Responds with the methods of the resource; `*` is the whole server.
pub(super) fn answer_options<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    path: &str,
) -> RequestOutcome {
    let listener = routes::listener_of(core, token);
    let is_here = path == "*"
        || is_builtin(&core.config, listener, path)
        || page_at(&core.site, &core.config, listener, path).is_some()
        || file_at(&core.site.assets, listener, path).is_some()
        || (listener == Listener::Public && core.site.assets.is_folder(path));
    if is_here {
        answer_line(core, token, request, Status::NoContent, &[allow(path)], "");
    } else {
        answer_not_found(core, token, request);
    }
    keep_alive(request)
}

pub(super) fn answer_not_found<S: System>(core: &mut Core<S>, token: Token, request: &Request) {
    core.metrics.refused[Refused::NotFound] += 1;
    answer_line(core, token, request, Status::NotFound, &[], "not found\n");
}

/// Responds with a line of text, which a response to HEAD omits.
fn answer_line<S: System>(
    core: &mut Core<S>,
    token: Token,
    request: &Request,
    status: Status,
    headers: &[(&str, &str)],
    line: &str,
) {
    let response = Response {
        headers,
        keep_alive: request.keep_alive,
        head_only: request.method == Method::Head,
        ..Response::text(status, line)
    };
    http::respond(core, token, &response);
}
