//! Kills of surveys, planners, engines that run a plan, and the indexing of a store.

use std::path::Path;

use bitx_store::Digest;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::{FILES, NAMES, Scene};

impl Scene {
    /// Surveys and plans two models, lets the store change, and runs the plan. Every command may be
    /// killed, and is run again if its output is not there.
    pub(super) async fn plan(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let first = self.random.below(NAMES.len() as u64) as usize;
        let mut planned: Vec<(&'static str, Digest)> = Vec::new();
        let mut surveys = Vec::new();
        for name in [NAMES[first], NAMES[(first + 1) % NAMES.len()]] {
            let (file, survey) = (self.random.pick(&FILES), folder.path().join(format!("{}.jsonl", planned.len())));
            let model = self.models.path(file).to_str().unwrap().to_owned();
            self.write("survey", &survey, &["--name", name, &model]).await;
            planned.push((name, self.digest(file)));
            surveys.push(survey.to_str().unwrap().to_owned());
        }
        let plan = folder.path().join("plan.jsonl");
        self.write("plan", &plan, &surveys.iter().map(String::as_str).collect::<Vec<_>>()).await;
        if self.random.below(2) == 0 {
            // The plan is one for a store that has changed.
            let name = self.random.pick(&NAMES);
            let done = self.kill("rm", &["rm", name]);
            self.note(name, None, done);
            self.kill("gc", &["gc", "--grace", "0s"]);
            self.check().await;
        }
        for _ in 0..2 {
            let done = self.kill("add --plan", &["add", "--plan", plan.to_str().unwrap(), "--effort", "fast"]);
            planned.iter().for_each(|(name, content)| self.note(name, Some(*content), done));
            self.check().await;
        }
    }

    /// Runs a command that writes `output`, which is there as a whole or not at all.
    async fn write(&mut self, command: &'static str, output: &Path, inputs: &[&str]) {
        let args = [&[command, "-o", output.to_str().unwrap()], inputs].concat();
        let done = self.kill(command, &args);
        assert!(output.exists() || !done, "{args:?}");
        self.check().await;
        if !output.exists() {
            self.run(&args);
        }
    }

    /// Removes signatures, as if an earlier release had written the store, lets the indexing be
    /// killed, and ends it.
    pub(super) async fn index(&mut self) {
        let storage = self.place.storage();
        let listed: Vec<_> = storage.list(Some(&"signatures".into())).try_collect().await.unwrap();
        for object in listed {
            if object.location.as_ref().ends_with("complete") || self.random.below(2) == 0 {
                storage.delete(&object.location).await.unwrap();
            }
        }
        self.kill("index", &["index"]);
        self.check().await;
        self.run(&["index"]);
    }
}
