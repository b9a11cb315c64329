//! What the conformance suite wants a server to offer.

use std::thread;
use std::time::Duration;

use mcp::app::{Call, Service, text};
use mcp::message::{self, CAPABILITIES, Failure};
use serde_json::{Value, json};

/// A pixel, and a sound without a sample.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

pub(crate) struct Suite;

impl Suite {
    fn tool(name: &str, call: &Call<'_>) -> Result<Value, Failure> {
        let step = || thread::sleep(Duration::from_millis(50));
        let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
        let embedded = json!({"type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "embedded"}});
        Ok(match name {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => json!({"content": [image]}),
            "test_audio_content" => {
                json!({"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]})
            }
            "test_embedded_resource" => json!({"content": [embedded]}),
            "test_multiple_content_types" => {
                json!({"content": [{"type": "text", "text": "mixed"}, image, embedded]})
            }
            "test_tool_with_logging" => {
                for line in [
                    "Tool execution started",
                    "Tool processing data",
                    "Tool execution completed",
                ] {
                    let params = json!({"level": "info", "data": line});
                    (call.notify)(&message::notification("notifications/message", &params));
                    step();
                }
                text("logged")
            }
            "test_error_handling" => {
                let content = json!([{"type": "text", "text": "This tool intentionally returns an error for testing"}]);
                json!({"isError": true, "content": content})
            }
            "test_tool_with_progress" => {
                for progress in [0, 50, 100] {
                    call.progress(progress, 100);
                    step();
                }
                text("done")
            }
            "test_reconnection" => {
                (call.hang_up)();
                step();
                text("Reconnection test completed successfully")
            }
            "test_missing_capability" if call.meta[CAPABILITIES]["sampling"].is_null() => {
                let failure = Failure::new(Failure::MISSING_CAPABILITY, "this takes sampling");
                return Err(failure.with_data(json!({"requiredCapabilities": {"sampling": {}}})));
            }
            "test_logging_tool" => {
                if !call.meta["io.modelcontextprotocol/logLevel"].is_null() {
                    let params = json!({"level": "info", "data": "as asked"});
                    (call.notify)(&message::notification("notifications/message", &params));
                }
                text("logged")
            }
            // This server asks clients for nothing: there is a stream, and no request on it.
            "test_streaming_elicitation" => {
                call.progress(1, 1);
                text("done")
            }
            "test_missing_capability" | "json_schema_2020_12_tool" => text("done"),
            _ => {
                return Err(Failure::new(
                    Failure::INVALID_PARAMS,
                    format!("there is no tool {name}"),
                ));
            }
        })
    }

    fn prompt(name: &str, arguments: &Value) -> Result<Value, Failure> {
        let says = |content: &Value| json!({"role": "user", "content": content});
        let text = |text: &str| says(&json!({"type": "text", "text": text}));
        let messages = match name {
            "test_simple_prompt" => json!([text("This is a simple prompt for testing.")]),
            "test_prompt_with_arguments" => {
                let (one, two) = (arguments["arg1"].as_str(), arguments["arg2"].as_str());
                let (one, two) = (one.unwrap_or_default(), two.unwrap_or_default());
                json!([text(&format!(
                    "Prompt with arguments: arg1='{one}', arg2='{two}'"
                ))])
            }
            "test_prompt_with_embedded_resource" => json!([
                says(&json!({"type": "resource", "resource": {
                    "uri": arguments["resourceUri"], "mimeType": "text/plain", "text": "embedded"}})),
                text("Please process the embedded resource above."),
            ]),
            "test_prompt_with_image" => json!([
                says(&json!({"type": "image", "data": PNG, "mimeType": "image/png"})),
                text("Please analyze the image above."),
            ]),
            _ => {
                return Err(Failure::new(
                    Failure::INVALID_PARAMS,
                    format!("there is no prompt {name}"),
                ));
            }
        };
        Ok(json!({ "messages": messages }))
    }

    fn resource(uri: &str) -> Result<Value, Failure> {
        let contents = match uri {
            "test://static-text" => json!({"uri": uri, "mimeType": "text/plain",
                "text": "This is the content of the static text resource."}),
            "test://static-binary" => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
            _ => match uri
                .strip_prefix("test://template/")
                .and_then(|rest| rest.strip_suffix("/data"))
            {
                Some(id) => {
                    let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                    json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
                }
                None => {
                    let failure =
                        Failure::new(Failure::INVALID_PARAMS, "there is no such resource");
                    return Err(failure.with_data(json!({"uri": uri})));
                }
            },
        };
        Ok(json!({"contents": [contents]}))
    }
}

impl Service for Suite {
    fn info(&self) -> Value {
        json!({"name": "conformance", "version": "1.0.0"})
    }

    fn capabilities(&self) -> Value {
        json!({"tools": {}, "prompts": {}, "resources": {}, "logging": {}, "completions": {}})
    }

    fn answer(&self, method: &str, params: &Value, call: &Call<'_>) -> Result<Value, Failure> {
        let is_stateless = !call.meta[CAPABILITIES].is_null();
        let name = params["name"].as_str().unwrap_or_default();
        Ok(match method {
            "tools/list" => {
                let schema = json!({"type": "object", "properties": {}});
                let names = [
                    "test_simple_text",
                    "test_image_content",
                    "test_audio_content",
                    "test_embedded_resource",
                    "test_multiple_content_types",
                    "test_tool_with_logging",
                    "test_error_handling",
                    "test_tool_with_progress",
                    "test_reconnection",
                    "test_missing_capability",
                    "test_logging_tool",
                    "test_streaming_elicitation",
                ];
                let tools = names
                    .map(|name| json!({"name": name, "description": name, "inputSchema": schema}));
                let mut tools = Vec::from(tools);
                tools.push(json!({
                    "name": "json_schema_2020_12_tool",
                    "description": "Tool with JSON Schema 2020-12 features",
                    "inputSchema": {
                        "$schema": "https://json-schema.org/draft/2020-12/schema",
                        "type": "object",
                        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {
                            "street": {"type": "string"}, "city": {"type": "string"}}}},
                        "properties": {
                            "name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                            "phone": {"type": "string"}, "email": {"type": "string"}},
                        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
                        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
                        "then": {"required": ["phone"]},
                        "else": {"required": ["email"]},
                        "additionalProperties": false,
                    },
                }));
                json!({ "tools": tools })
            }
            "tools/call" => Suite::tool(name, call)?,
            "prompts/list" => {
                let argument = |name: &str| json!({"name": name, "required": true});
                json!({"prompts": [
                    {"name": "test_simple_prompt", "description": "simple"},
                    {"name": "test_prompt_with_arguments", "description": "with arguments",
                        "arguments": [argument("arg1"), argument("arg2")]},
                    {"name": "test_prompt_with_embedded_resource", "description": "with a resource",
                        "arguments": [argument("resourceUri")]},
                    {"name": "test_prompt_with_image", "description": "with an image"},
                ]})
            }
            "prompts/get" => Suite::prompt(name, &params["arguments"])?,
            "resources/list" => json!({"resources": [
                {"uri": "test://static-text", "name": "text", "description": "text", "mimeType": "text/plain"},
                {"uri": "test://static-binary", "name": "binary", "description": "binary", "mimeType": "image/png"},
            ]}),
            "resources/templates/list" => json!({"resourceTemplates": [
                {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"},
            ]}),
            "resources/read" => Suite::resource(params["uri"].as_str().unwrap_or_default())?,
            "completion/complete" => {
                json!({"completion": {"values": [], "total": 0, "hasMore": false}})
            }
            "logging/setLevel" if !is_stateless => json!({}),
            _ => return Err(Failure::no_method(method)),
        })
    }
}
