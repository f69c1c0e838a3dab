//! A browser's cookie jar by RFC 6265 (sections 5.2 to 5.4): keyed by host, path and name, not by port.

/// All cookies of a browser whose pages are served over plain `http`.
#[derive(Debug, Default)]
pub struct CookieJar {
    cookies: Vec<Cookie>,
}

#[derive(Debug, PartialEq, Eq)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
    is_secure: bool,
}

impl CookieJar {
    pub fn len(&self) -> usize {
        self.cookies.len()
    }

    /// The value of the `Cookie` header for a request to this host and path.
    pub fn header(&self, authority: &str, path: &str) -> Option<String> {
        let host = host_of(authority);
        let fits = |cookie: &&Cookie| cookie.host == host && !cookie.is_secure && cookie.is_for(path);
        let pairs =
            self.cookies.iter().filter(fits).map(|Cookie { name, value, .. }| format!("{name}={value}"));
        let header = pairs.collect::<Vec<_>>().join("; ");
        (!header.is_empty()).then_some(header)
    }

    /// Stores the cookie set by a response to a request for this host and path.
    pub fn store(&mut self, authority: &str, request_path: &str, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a name and a value");
        let mut cookie = Cookie {
            host: host_of(authority).to_owned(),
            path: request_path.rsplit_once('/').map_or("/", |(folder, _)| folder).to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            is_secure: false,
        };
        for attribute in parts {
            match attribute.split_once('=') {
                Some(("Path", path)) => path.clone_into(&mut cookie.path),
                None if attribute == "Secure" => cookie.is_secure = true,
                _ => {}
            }
        }
        let is_same = |other: &Cookie| {
            (&other.host, &other.path, &other.name) == (&cookie.host, &cookie.path, &cookie.name)
        };
        self.cookies.retain(|other| !is_same(other));
        self.cookies.push(cookie);
    }
}

impl Cookie {
    fn is_for(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

fn host_of(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}
