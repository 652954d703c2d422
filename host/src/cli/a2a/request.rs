//! From the arguments of `kennel a2a send` to the request.

use std::path::{Path, PathBuf};

use kennel_client::user_message;
use kennel_protocol::types::{Content, JsonValue, Part, SendMessageConfiguration, SendMessageRequest};
use kennel_protocol::{ContextId, TaskId};

/// What to send, and how to show the answer.
#[derive(Debug, clap::Args)]
pub(super) struct SendArgs {
    /// The address of the agent.
    pub(super) url: String,
    /// What to say; several words are joined by blanks.
    #[arg(required_unless_present_any = ["data", "file"])]
    text: Vec<String>,
    /// Show what happens as it happens.
    #[arg(long, conflicts_with = "return_immediately")]
    pub(super) stream: bool,
    /// Continue this task: answer its question.
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// Stay in this conversation.
    #[arg(long, value_name = "ID")]
    context: Option<ContextId>,
    /// Add a data part. May be repeated.
    #[arg(long, value_name = "JSON", value_parser = JsonValue::from_text)]
    data: Vec<JsonValue>,
    /// Add the content of a file. May be repeated.
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Do not wait for the task: print it as soon as it exists.
    #[arg(long)]
    return_immediately: bool,
    /// Show this many of the last messages with the task.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    history: Option<i32>,
}

impl SendArgs {
    /// The request; the text comes first, then data, then files. Fails in words for the user.
    pub(super) async fn into_request(self) -> Result<SendMessageRequest, String> {
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(Part::text(self.text.join(" ")));
        }
        parts.extend(self.data.into_iter().map(Part::data));
        for path in &self.file {
            parts.push(file(path).await?);
        }
        let mut message = user_message(parts);
        message.task_id = self.task;
        message.context_id = self.context;
        let configuration = SendMessageConfiguration {
            // A history that nobody asked for would bury the answer.
            history_length: Some(self.history.unwrap_or(0)),
            return_immediately: self.return_immediately,
            ..SendMessageConfiguration::default()
        };
        Ok(SendMessageRequest { tenant: None, message, configuration: Some(configuration), metadata: None })
    }
}

async fn file(path: &Path) -> Result<Part, String> {
    let bytes = tokio::fs::read(path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let filename = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let media_type = Some(media_type(path).to_owned());
    Ok(Part { filename, media_type, ..Part::new(Content::Raw(bytes.into())) })
}

/// The media type that the name of a file suggests, of those that agents commonly take.
fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    async fn request(words: &[&str]) -> Result<SendMessageRequest, String> {
        let command = SendArgs::augment_args(clap::Command::new("send"));
        let matches = command.try_get_matches_from(["send", "URL"].iter().chain(words)).unwrap();
        SendArgs::from_arg_matches(&matches).unwrap().into_request().await
    }

    #[tokio::test]
    async fn words_data_and_files_become_parts_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("A.JSON");
        std::fs::write(&path, "{}").unwrap();
        let words = ["--file", path.to_str().unwrap(), "--data", "[1]", "--task", "t", "hello", "you"];
        let request = request(&words).await.unwrap();
        let parts = serde_json::to_value(&request.message.parts).unwrap();
        assert_eq!(
            parts,
            serde_json::json!([
                { "text": "hello you" },
                { "data": [1] },
                { "raw": "e30=", "filename": "A.JSON", "mediaType": "application/json" },
            ])
        );
        assert_eq!(request.message.task_id, Some("t".parse().unwrap()));
        assert_eq!(request.configuration.unwrap().history_length, Some(0));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let error = request(&["--file", "/nowhere/at/all.txt"]).await.unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/at/all.txt: "), "{error}");
    }
}
