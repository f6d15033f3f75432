//! The container engine's own command in what people are told to do: `podman` where that is what answers.

use serde_json::Value;
use volsnap::Error;

use super::answer::Answer;

/// How hints name a command of the engine, wherever they come from.
const WRITTEN: &str = "`docker ";

/// An answer that names the engine's commands as people give them.
pub fn of_answer(answer: Answer, command: &str) -> Answer {
    match command {
        "docker" => answer,
        _ => Answer {
            text: told(&answer.text, command),
            document: answer.document.map(|document| of_document(document, command)),
            ..answer
        },
    }
}

/// The same for an error.
pub fn of_error(error: &Error, command: &str) -> Error {
    Error {
        message: told(&error.message, command),
        hint: error.hint.as_ref().map(|hint| told(hint, command)),
        ..error.clone()
    }
}

fn told(text: &str, command: &str) -> String {
    text.replace(WRITTEN, &format!("`{command} "))
}

fn of_document(document: Value, command: &str) -> Value {
    match document {
        Value::String(text) => Value::String(told(&text, command)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| of_document(item, command)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, of_document(value, command))).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use volsnap::Code;

    use super::*;

    #[test]
    fn the_engines_own_command_is_named_wherever_one_is() {
        let document =
            json!({"refusals": [{"message": "web is there", "hint": "stop it (`docker stop web`), or add it"}]});
        let answer = Answer {
            document: Some(document.clone()),
            text: "hint: stop it (`docker stop web`)\n/var/lib/docker".into(),
            code: None,
            of_deeds: false,
        };
        let podman = of_answer(answer, "podman");
        assert_eq!(podman.text, "hint: stop it (`podman stop web`)\n/var/lib/docker");
        let hint = json!("stop it (`podman stop web`), or add it");
        assert_eq!(podman.document.unwrap_or_default()["refusals"][0]["hint"], hint);
        let error = Error::new(Code::NotFound, "there is no container web").hint("look with `docker ps -a`");
        assert_eq!(of_error(&error, "podman").hint.as_deref(), Some("look with `podman ps -a`"));
        assert_eq!(of_error(&error, "docker").hint.as_deref(), Some("look with `docker ps -a`"));
    }
}
