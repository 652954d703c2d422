//! `artifact`: results of the task, whole or in pieces.

use crate::bindings::kennel::agent::artifact::{Artifact, Heading, Host, Part};
use crate::call::{Answer, Call};
use crate::convert::take;
use crate::guest::{Failure, Guest};

impl Host for Guest {
    async fn publish(&mut self, artifact: Artifact) -> Result<String, Failure> {
        let artifact = take::artifact(artifact, &self.facts.limits)?;
        self.call_artifact(Call::Publish { artifact }).await
    }

    async fn open(&mut self, heading: Heading) -> Result<String, Failure> {
        let heading = take::heading(heading, &self.facts.limits)?;
        self.call_artifact(Call::OpenArtifact { heading }).await
    }

    async fn append(&mut self, artifact_id: String, parts: Vec<Part>) -> Result<(), Failure> {
        let artifact_id = take::open_artifact(&artifact_id)?;
        let parts = take::some_parts(parts, &self.facts.limits)?;
        self.call_done(Call::AppendArtifact { artifact_id, parts }).await
    }

    async fn close(&mut self, artifact_id: String, parts: Vec<Part>) -> Result<(), Failure> {
        let artifact_id = take::open_artifact(&artifact_id)?;
        let parts = take::parts(parts, &self.facts.limits)?;
        self.call_done(Call::CloseArtifact { artifact_id, parts }).await
    }
}

impl Guest {
    async fn call_artifact(&mut self, call: Call) -> Result<String, Failure> {
        match self.call(call).await? {
            Answer::ArtifactId(id) => Ok(id.to_string()),
            other => Err(self.misfit(&other)),
        }
    }
}
