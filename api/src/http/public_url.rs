//! Where the world finds the server.

use std::fmt;

/// The names that the paths of operations and pages begin with.
pub(crate) const NAMES: [&str; 9] =
    [".well-known", "api", "docs", "livez", "mcp", "openapi.json", "openapi.yaml", "problems", "readyz"];

/// Where the world finds the server: all that its answers say of their own address. The default says nothing, and paths
/// begin at the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl {
    /// The origin (RFC 6454 §6.2), such as `https://example.com`.
    pub origin: String,
    /// The path under which a proxy has the server, without a slash at its end: `/tasks`, or empty. Of the characters that
    /// are the same in a URL, in HTML and in a script: letters, digits and `-._~`.
    pub prefix: String,
}

impl PublicUrl {
    /// Whether browsers reach the server over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// What the server serves of a path that may begin with the prefix, as proxies strip it or not: the rest, where that
    /// begins with one of these names.
    pub(crate) fn strip<'a>(&self, path: &'a str, names: &[&str]) -> &'a str {
        // A prefix that is called as something is that is served: whoever asks for it means that.
        let is_served = path.strip_prefix('/').is_some_and(|name| names.contains(&name));
        let rest = path.strip_prefix(self.prefix.as_str()).filter(|_| !self.prefix.is_empty() && !is_served);
        match rest.map(|rest| rest.splitn(3, '/').collect::<Vec<_>>()).as_deref() {
            Some([""] | ["", ""]) => "/",
            Some(["", name, ..]) if names.contains(name) => rest.unwrap_or(path),
            _ => path,
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_with_and_without_the_prefix() {
        let strip = |prefix: &str, path| {
            let url = PublicUrl { origin: "https://example.com".to_owned(), prefix: prefix.to_owned() };
            url.strip(path, &["api", "docs"]).to_owned()
        };
        for (path, served) in [
            ("/tasks/api/me/tasks", "/api/me/tasks"),
            ("/api/me/tasks", "/api/me/tasks"),
            ("/tasks/docs", "/docs"),
            ("/tasks", "/"),
            ("/tasks/", "/"),
            ("/", "/"),
            ("/tasks/tasks/docs", "/tasks/tasks/docs"),
            ("/tasks/other", "/tasks/other"),
            ("/tasksapi/x", "/tasksapi/x"),
            ("/tasks//docs", "/tasks//docs"),
            ("/TASKS/docs", "/TASKS/docs"),
        ] {
            assert_eq!(strip("/tasks", path), served, "{path}");
            assert_eq!(strip("", path), path);
        }
        // A prefix that looks like the beginning of what is served.
        assert_eq!(strip("/api", "/api/me/tasks"), "/api/me/tasks");
        assert_eq!(strip("/api", "/api/api/me/tasks"), "/api/me/tasks");
        assert_eq!(strip("/api", "/api/docs"), "/docs");
        assert_eq!(strip("/docs", "/docs"), "/docs");
        assert_eq!(strip("/docs", "/docs/docs"), "/docs");
        assert_eq!(strip("/doc", "/docs"), "/docs");
        assert_eq!(strip("/a/b", "/a/b/docs"), "/docs");
        assert_eq!(strip("/a/b", "/b/docs"), "/b/docs");
    }
}
