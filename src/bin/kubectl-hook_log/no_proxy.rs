//! `NO_PROXY`: the hosts that are reached without the proxy of `HTTPS_PROXY`. Interpreted as in Go (golang.org/x/net:
//! http/httpproxy), and so in kubectl and Helm. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether the list contains `host`: `*`, a domain with its subdomains, an address, or a network.
pub fn covers(list: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_lowercase();
        match (entry.parse::<IpNet>(), address) {
            (Ok(network), Some(address)) => network.contains(&address),
            _ if entry == "*" || entry == host => true,
            _ => host
                .strip_suffix(entry.trim_start_matches(['*', '.']))
                .is_some_and(|rest| rest.ends_with('.')),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_host_of_the_list_needs_no_proxy() {
        let table = [
            ("", "k8s.example", false),
            ("*", "k8s.example", true),
            ("k8s.example", "k8s.example", true),
            ("example", "k8s.example", true),
            (".example, other", "k8s.example", true),
            ("*.example", "K8S.example", true),
            ("xample", "k8s.example", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("fd00::/8", "[fd00::1]", true),
        ];
        for (list, host, expected) in table {
            assert_eq!(covers(list, host), expected, "{host} in {list:?}");
        }
    }
}
