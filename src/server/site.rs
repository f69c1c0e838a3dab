//! Answers from memory: the pages of the program and the files of `STATIC_DIR`.

use std::sync::Arc;

use mio::Token;

use super::Server;
use super::assets::Asset;
use super::http::{NO_SNIFF, REVALIDATE};
use crate::metrics::Refused;
use crate::wire::http::{Method, Request, Response, Status};

impl Server {
    pub(super) fn answer_file(&mut self, token: Token, request: &Request) {
        let date = self.date();
        let has_front = self.config.static_dir.is_none();
        let page = self.pages.lookup(&request.path, has_front);
        let file = || self.assets.lookup(&request.path);
        let Some(asset) = page.map(|page| &page.asset).or_else(file) else {
            return self.answer_not_found(token, request);
        };
        let unchanged = request.if_none_match.as_deref().is_some_and(|tags| asset.matches(tags));
        let Asset { body, content_type, etag } = asset;
        let mut headers = vec![("ETag", etag.as_str()), NO_SNIFF];
        match page {
            Some(page) => headers.extend(page.headers()),
            None => headers.push(REVALIDATE),
        }
        let response = Response {
            status: if unchanged { Status::NotModified } else { Status::Ok },
            content_type,
            headers: &headers,
            body,
            head_only: request.method == Method::Head,
            keep_alive: request.keep_alive,
        };
        let Some(connection) = self.table.get_mut(token) else { return };
        response.write_head(connection.outbox.bytes(), &date);
        if !unchanged && !response.head_only && !body.is_empty() {
            connection.outbox.send_body(Arc::clone(body));
        }
    }

    pub(super) fn answer_not_found(&mut self, token: Token, request: &Request) {
        self.metrics.refused[Refused::NotFound] += 1;
        let response = Response {
            keep_alive: request.keep_alive,
            head_only: request.method == Method::Head,
            ..Response::text(Status::NotFound, "there is nothing at this address\n")
        };
        self.respond(token, &response);
    }
}
