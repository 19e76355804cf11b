//! The connection to the cluster: kubeconfig, context, namespace, the user to act as. The only file that knows Helm's
//! variables.

use std::env;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::no_proxy;

/// A namespace of a cluster.
pub struct Cluster {
    client: Client,
    pub namespace: String,
}

impl Cluster {
    pub async fn connect(arguments: &Arguments) -> Result<Self, Failure> {
        let mut config = config(arguments).await?;
        through_no_needless_proxy(&mut config);
        if let Some(user) = arguments.act_as.clone().or_else(|| from_helm("HELM_KUBEASUSER")) {
            config.auth_info.impersonate = Some(user);
        }
        let groups = from_helm("HELM_KUBEASGROUPS").unwrap_or_default();
        let of_helm = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned);
        let groups: Vec<String> = arguments.act_as_groups.iter().cloned().chain(of_helm).collect();
        if !groups.is_empty() {
            config.auth_info.impersonate_groups = Some(groups);
        }
        let named = arguments.namespace.clone().or_else(|| from_helm("HELM_NAMESPACE"));
        let namespace = named.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|_| {
            Failure::wrong(
                "the certificates of this context cannot be used; look at it with kubectl config view",
            )
        })?;
        Ok(Self { client, namespace })
    }

    /// The API for objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Reads a variable that Helm sets for its plugins (helm.sh/helm: pkg/cli/environment.go). Under kubectl the same names
/// mean nothing.
fn from_helm(name: &str) -> Option<String> {
    env::var_os("HELM_PLUGIN_NAME")?;
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// kube compares `NO_PROXY` with the proxy's address instead of the cluster's; this corrects it.
fn through_no_needless_proxy(config: &mut Config) {
    let variable = |names: [&str; 2]| {
        names.iter().find_map(|name| env::var(name).ok()).filter(|value| !value.is_empty())
    };
    let of_environment = variable(["HTTPS_PROXY", "https_proxy"]).and_then(|proxy| proxy.parse().ok());
    let not_for = variable(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    let host = config.cluster_url.host().unwrap_or_default();
    // A proxy that the kubeconfig file names is meant for this cluster.
    if config.proxy_url.is_some() && config.proxy_url == of_environment && no_proxy::covers(&not_for, host) {
        config.proxy_url = None;
    }
}

async fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let context = arguments.context.clone().or_else(|| from_helm("HELM_KUBECONTEXT"));
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let read = match &arguments.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let in_pod = || Config::incluster().ok().filter(|_| arguments.kubeconfig.is_none() && context.is_none());
    let config = match read {
        Ok(file) => Config::from_custom_kubeconfig(file, &options).await,
        Err(error) => match in_pod() {
            Some(config) => return Ok(config),
            None => Err(error),
        },
    };
    config.map_err(|error| unusable(&error, arguments, context.as_deref()))
}

fn unusable(error: &KubeconfigError, arguments: &Arguments, context: Option<&str>) -> Failure {
    let file = match &arguments.kubeconfig {
        Some(path) => format!("the kubeconfig file {}", path.display()),
        None => "the kubeconfig file (KUBECONFIG, or .kube/config at home)".to_owned(),
    };
    Failure::wrong(match (error, context) {
        (KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath, _) => {
            format!("{file} cannot be read; give one with --kubeconfig")
        }
        (KubeconfigError::LoadContext(_), Some(context)) => {
            format!("{file} has no context {context}; kubectl config get-contexts lists them")
        }
        (KubeconfigError::CurrentContextNotSet | KubeconfigError::LoadContext(_), _) => {
            format!("{file} has no current context; give one with --context")
        }
        _ => {
            format!("{file} names no cluster and user that can be used; look at it with kubectl config view")
        }
    })
}
