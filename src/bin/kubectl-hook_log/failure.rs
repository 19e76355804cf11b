//! The failures of the plugin, each one sentence: what, on which object, why, what to do. Knows how the API refuses.

use kube::Error;

/// What was asked for is wrong or does not exist.
pub const WRONG: u8 = 78;
/// The cluster refused, or the connection was lost.
pub const REFUSED: u8 = 74;
/// A fault of the plugin.
pub const FAULT: u8 = 70;

/// A sentence and its exit status.
#[derive(Debug)]
pub struct Failure {
    pub sentence: String,
    pub status: u8,
}

impl Failure {
    pub fn wrong(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), status: WRONG }
    }

    pub fn refused(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), status: REFUSED }
    }
}

/// A request to the API server: verb ("list"), resource ("secrets"), namespace.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    verb: &'a str,
    resource: &'a str,
    namespace: &'a str,
    /// What it is needed for, as `, and …`; empty if that is obvious.
    why: &'a str,
    /// An alternative, as `, or …`.
    instead: &'a str,
}

impl<'a> Request<'a> {
    pub fn new(verb: &'a str, resource: &'a str, namespace: &'a str) -> Self {
        Self { verb, resource, namespace, why: "", instead: "" }
    }

    pub fn needed(self, why: &'a str, instead: &'a str) -> Self {
        Self { why, instead, ..self }
    }

    /// The failure for a refused request.
    pub fn failure(self, error: &Error) -> Failure {
        let Self { verb, resource, namespace, why, instead } = self;
        let what = format!("{verb} {resource} in the namespace {namespace}");
        Failure::refused(match status_of(error) {
            None => return no_answer(error),
            Some((401, _)) => {
                "the cluster does not accept your credentials; log in again, or choose another --context"
                    .to_owned()
            }
            // Pod Security, quotas and webhooks refuse with the same status as RBAC, but give reasons of their own.
            Some((403, message)) if message.is_empty() || message.contains(" cannot ") => format!(
                "you may not {what}{why}; ask for that right (kubectl auth can-i {verb} {resource} --namespace {namespace}){instead}"
            ),
            Some((_, message)) if !message.is_empty() => {
                format!("the cluster refuses to {what}{why}: {message}")
            }
            Some((code, _)) => format!("the cluster answers {code} when asked to {what}{why}"),
        })
    }
}

/// The HTTP status and the server's message, if it answered.
pub fn status_of(error: &Error) -> Option<(u16, String)> {
    match error {
        Error::Api(status) => Some((status.code, status.message.clone())),
        Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(code)) => {
            Some((code.as_u16(), String::new()))
        }
        _ => None,
    }
}

fn no_answer(error: &Error) -> Failure {
    Failure::refused(match error {
        Error::Auth(_) => "the credentials of this context cannot be obtained; try kubectl get pods, which says what its login program lacks".to_owned(),
        _ => "the cluster does not answer; try kubectl get pods, and look at the network and at --context".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use kube::Error;
    use kube::core::Status;

    use super::Request;

    #[test]
    fn a_refusal_says_what_is_missing_and_what_to_do() {
        let rbac = "pods is forbidden: User \"joe\" cannot create resource \"pods\" in API group \"\"";
        let security = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"";
        // the answer; words that the sentence must have; words that it must not have
        let table = [
            (
                403,
                rbac,
                vec![
                    "you may not create pods in the namespace shop, and WHY; ask",
                    "can-i create pods",
                    ", or THAT",
                ],
                "API group",
            ),
            (403, "", vec!["you may not create pods"], "PodSecurity"),
            (403, security, vec!["refuses to create pods", "violates PodSecurity"], "you may not"),
            (401, "Unauthorized", vec!["credentials", "--context"], "Unauthorized"),
            (422, "spec is invalid", vec!["spec is invalid"], "you may not"),
            (500, "", vec!["answers 500"], "you may not"),
        ];
        for (code, message, words, not) in table {
            let status = Status { code, message: message.into(), ..Status::default() };
            let request = Request::new("create", "pods", "shop").needed(", and WHY", ", or THAT");
            let said = request.failure(&Error::Api(Box::new(status))).sentence;
            assert!(
                words.iter().all(|word| said.contains(word)) && !said.contains(not),
                "{code} {message}: {said}"
            );
        }
    }
}
