//! The API descriptions that two families of client libraries build themselves from.
//!
//! Swagger 1.1, written from the tables in `table` and `models`: what is described is what is
//! routed. Events repeat the fields that all of them have, because no client resolves
//! inheritance.

pub(super) mod models;
pub(super) mod routes;
pub(super) mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use self::models::{MODELS, Model, Shape};
use self::routes::{Op, Param, Place, Resource, Route};
use self::table::{RESOURCES, ROUTES};
use super::fault::{Fault, Outcome, Reply};
use super::http::not_found;
use super::machine::{Ask, Ivr};
use super::model::json;

/// What libraries that know several versions of ARI compare with their list.
const API_VERSION: &str = "8.0.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    api_version: &'static str,
    swagger_version: &'static str,
    base_path: String,
    apis: Vec<ListedApi>,
}

#[derive(Serialize)]
struct ListedApi {
    path: String,
    description: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    api_version: &'static str,
    swagger_version: &'static str,
    base_path: String,
    resource_path: String,
    apis: Vec<Api>,
    models: BTreeMap<&'static str, ModelDoc>,
}

#[derive(Serialize)]
struct Api {
    path: &'static str,
    description: &'static str,
    operations: Vec<Operation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    http_method: &'static str,
    summary: &'static str,
    nickname: &'static str,
    response_class: &'static str,
    parameters: Vec<Parameter>,
    error_responses: Vec<ErrorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    websocket_protocol: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameter {
    name: &'static str,
    description: &'static str,
    param_type: &'static str,
    required: bool,
    allow_multiple: bool,
    data_type: &'static str,
}

#[derive(Serialize)]
struct ErrorResponse {
    code: u16,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelDoc {
    id: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sub_types: Vec<&'static str>,
    properties: BTreeMap<&'static str, Property>,
}

#[derive(Serialize)]
struct Property {
    #[serde(rename = "type")]
    kind: &'static str,
    required: bool,
    description: &'static str,
}

impl Ivr {
    pub(super) fn listing(&self, ask: &Ask<'_>) -> Reply {
        let listed = |r: &Resource| ListedApi { path: resource_path(r), description: r.about };
        Reply::ok(json(&Listing {
            api_version: API_VERSION,
            swagger_version: "1.1",
            base_path: self.base_path(ask.host),
            apis: RESOURCES.iter().map(listed).collect(),
        }))
    }

    pub(super) fn description(&self, ask: &Ask<'_>) -> Outcome {
        let name = ask.arg(0).strip_suffix(".json");
        let resource = RESOURCES.iter().find(|r| Some(r.name) == name).ok_or_else(not_found)?;
        Ok(Reply::ok(json(&describe(resource, self.base_path(ask.host)))))
    }

    /// As the client wrote it, so that it comes back the same way. The listener has no TLS.
    fn base_path(&self, host: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
        if (1..=255).contains(&host.len()) && host.bytes().all(plain) {
            format!("http://{host}/ari")
        } else {
            format!("http://{}/ari", self.config.ari.listen)
        }
    }
}

fn describe(resource: &Resource, base_path: String) -> Description {
    let mut apis: Vec<Api> = Vec::new();
    for route in ROUTES.iter().filter(|r| r.resource() == resource.name) {
        match apis.iter_mut().find(|api| api.path == route.path) {
            Some(api) => api.operations.push(operation(route)),
            None => apis.push(Api {
                path: route.path,
                description: resource.about,
                operations: vec![operation(route)],
            }),
        }
    }
    let models = MODELS.iter().filter(|m| m.resource == resource.name);
    Description {
        api_version: API_VERSION,
        swagger_version: "1.1",
        base_path,
        resource_path: resource_path(resource),
        apis,
        models: models.map(|m| (m.id, model(m))).collect(),
    }
}

fn resource_path(resource: &Resource) -> String {
    format!("/api-docs/{}.{{format}}", resource.name)
}

fn operation(route: &Route) -> Operation {
    let is_socket = matches!(route.op, Op::Socket);
    let in_path = route.path.split('/').filter_map(routes::placeholder).map(|name| Parameter {
        name,
        description: "Names it",
        param_type: "path",
        required: true,
        allow_multiple: false,
        data_type: "string",
    });
    Operation {
        http_method: route.method,
        summary: route.summary,
        nickname: route.nickname,
        response_class: route.returns,
        parameters: in_path.chain(route.params.iter().map(parameter)).collect(),
        error_responses: route
            .errors
            .iter()
            .map(|&(code, reason)| ErrorResponse { code, reason })
            .collect(),
        upgrade: is_socket.then_some("websocket"),
        websocket_protocol: is_socket.then_some("ari"),
    }
}

fn parameter(param: &Param) -> Parameter {
    Parameter {
        name: param.name,
        description: param.about,
        param_type: match param.place {
            Place::Query => "query",
            Place::Body => "body",
        },
        required: param.required,
        allow_multiple: param.many,
        data_type: param.kind,
    }
}

fn model(model: &Model) -> ModelDoc {
    let common: &[models::Field] = match model.shape {
        Shape::Plain => &[],
        Shape::Event => models::EVENT_FIELDS,
    };
    let property = |f: &models::Field| {
        (f.name, Property { kind: f.kind, required: f.required, description: f.about })
    };
    let is_family = matches!(model.id, "Event" | "Message");
    let events = MODELS.iter().filter(|m| m.shape == Shape::Event && m.id != "Event");
    ModelDoc {
        id: model.id,
        description: model.about,
        sub_types: if is_family { events.map(|m| m.id).collect() } else { Vec::new() },
        properties: common.iter().chain(model.fields).map(property).collect(),
    }
}

/// Errors that a description names are refusals that a request can get.
pub(super) type Errors = &'static [(u16, &'static str)];

/// A path that exists with another method.
pub(super) fn wrong_method(allowed: &[&str]) -> Fault {
    Fault::new(405, "Method not allowed").with("Allow", allowed.join(", "))
}
