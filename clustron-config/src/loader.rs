//! From files and the environment to settings.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clustron_core::pipeline::Registry;

use crate::draft::Draft;
use crate::environment::Environment;
use crate::format::{FILE_BYTES_MAX, Format};
use crate::origin::Origin;
use crate::problem::{LoadError, Problem, Problems};
use crate::settings::Settings;
use crate::tree::{Entry, Node, Value};

/// How often a [`Follower`](crate::Follower) looks at the files, unless it is told otherwise.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest name of an environment, in bytes.
const ENVIRONMENT_BYTES_MAX: usize = 64;

/// Reads settings. Name the files from the most general to the most special: what stands in a later
/// one wins, and the environment wins over all files, wherever it is named.
///
/// ```
/// use clustron_config::Loader;
///
/// # let dir = tempfile::tempdir()?;
/// let file = dir.path().join("clustron.toml");
/// std::fs::write(&file, "cluster = 'shop'\nvoters_max = 3\n[timing]\nleader_lease = '500ms'\n")?;
///
/// let variables = [("CLUSTRON__VOTERS_MAX", "5"), ("CLUSTRON__TAGS__ZONE", "eu")];
/// let settings = Loader::new().file(&file).env_from(variables).load()?;
/// assert_eq!(settings.cluster(), "shop");
/// assert_eq!(settings.config().voters_max, 5);
/// assert_eq!(settings.origin("voters_max").unwrap().to_string(), "CLUSTRON__VOTERS_MAX");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    files: Vec<Source>,
    environment: Environment,
    cluster: Option<String>,
    program_discovery: bool,
    pub(crate) layers: Registry,
    /// What was wrong with the calls themselves.
    problems: Vec<Problem>,
    look_every: Duration,
}

/// A file to read.
#[derive(Debug, Clone)]
struct Source {
    path: Arc<Path>,
    required: bool,
}

/// What was found where a file should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// There is none, and there need not be one.
    Absent,
    /// It cannot be read; why, and what to do.
    Failed(String),
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Loader {
    /// Nothing but the defaults.
    pub fn new() -> Self {
        Self {
            files: vec![],
            environment: Environment::default(),
            cluster: None,
            program_discovery: false,
            layers: Registry::default(),
            problems: vec![],
            look_every: LOOK_EVERY,
        }
    }

    /// Adds a file that must be there. Its name tells the format: `.toml`, `.json`, `.yaml`, `.yml`
    /// or `.xml`, of at most 1 MiB. Of an `appsettings.json`, or any other `appsettings.*.json`,
    /// only the section `Clustron` is read.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.source(path.into(), true)
    }

    /// Adds a file that need not be there. One that is there must be right.
    #[must_use]
    pub fn optional_file(self, path: impl Into<PathBuf>) -> Self {
        self.source(path.into(), false)
    }

    /// Adds the section `Clustron` of the `appsettings.json` in this directory, which must be there
    /// though the section need not, and over it that of `appsettings.{environment}.json`, if there
    /// is one. Both may have comments and commas after the last item. As in .NET, the environment
    /// is a word such as `Production`, which programs by custom take from `DOTNET_ENVIRONMENT`.
    /// Other than in .NET, a list takes the place of the whole list below it.
    #[must_use]
    pub fn appsettings(self, dir: impl Into<PathBuf>, environment: Option<&str>) -> Self {
        let dir = dir.into();
        let mut loader = self.file(dir.join("appsettings.json"));
        let Some(name) = environment else { return loader };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > ENVIRONMENT_BYTES_MAX || !name.bytes().all(plain) {
            let text = format!(
                "the environment is {}: must be 1 to {ENVIRONMENT_BYTES_MAX} bytes of a-z, A-Z, \
                 0-9, '-', '_' and '.'",
                crate::tree::quoted(name)
            );
            let origin = Origin::whole(&dir.join("appsettings.json"));
            loader.problems.push(Problem::new(&origin, None, text));
            return loader;
        }
        loader.optional_file(dir.join(format!("appsettings.{name}.json")))
    }

    /// Takes the variables of this process's environment that begin with `CLUSTRON__`, as they are
    /// now. Between section and key there are two underscores:
    /// `CLUSTRON__TIMING__LEADER_LEASE=500ms`.
    #[must_use]
    pub fn env(mut self) -> Self {
        self.environment = Environment::of(std::env::vars_os());
        self
    }

    /// Takes these variables for the environment. For tests, which share one environment.
    #[must_use]
    pub fn env_from<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment = Environment::of(variables);
        self
    }

    /// What the cluster is called where no file and no variable says it.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Says that the program gives the node sources of addresses itself, with
    /// [`ClusterBuilder::discovery`](clustron_core::ClusterBuilder::discovery). Then a node that is
    /// no member needs neither seeds nor the section `discovery`, and a member needs `expect`. A
    /// program that says so and gives none is refused at the start.
    ///
    /// ```
    /// use clustron_config::Loader;
    /// use clustron_core::FileSeeds;
    ///
    /// let observer = || Loader::new().cluster("shop").env_from([("CLUSTRON__ROLES", "observer")]);
    /// assert!(observer().load().is_err()); // it could never find anybody
    /// let settings = observer().program_discovery().load()?;
    /// let node = settings.builder().discovery(FileSeeds::new("/etc/shop/seeds"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn program_discovery(mut self) -> Self {
        self.program_discovery = true;
        self
    }

    /// The layers that the section `pipeline` may name, with those of the program's own. By default
    /// the built-in ones. The [`builder`](Settings::builder) gets the same.
    #[must_use]
    pub fn layers(mut self, layers: Registry) -> Self {
        self.layers = layers;
        self
    }

    /// How often [`Settings::follow`] looks at the files; every second unless this is called. Each
    /// look reads them. A change is acted on when two looks in a row have found the same.
    ///
    /// # Panics
    /// With zero.
    #[must_use]
    pub fn look_every(mut self, interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the time between two looks must be above zero");
        self.look_every = interval;
        self
    }

    /// Reads everything, and checks every value. Blocks while it reads. Files and directories that
    /// values name are not looked at: they may be on another machine, and the node's start says
    /// what is wrong with them.
    ///
    /// # Errors
    /// Everything that is wrong in any layer, also where a later one covers it.
    pub fn load(&self) -> Result<Settings, LoadError> {
        self.interpret(&self.read())
    }

    pub(crate) fn interval(&self) -> Duration {
        self.look_every
    }

    /// What the files hold now, in their order.
    pub(crate) fn read(&self) -> Vec<Content> {
        self.files.iter().map(Source::read).collect()
    }

    /// What it would mean if the files held this.
    pub(crate) fn interpret(&self, contents: &[Content]) -> Result<Settings, LoadError> {
        let mut problems = Problems::default();
        self.problems.iter().for_each(|problem| problems.add(problem.clone()));
        let mut layers = vec![];
        layers.extend(self.cluster.as_ref().map(|name| program("cluster", name)));
        for (source, content) in self.files.iter().zip(contents) {
            match source.layer(content) {
                Ok(layer) => layers.extend(layer),
                Err(problem) => problems.add(problem),
            }
        }
        layers.push(self.environment.layer(&mut problems));
        // Where there is no directory any more, relative paths stay as they are.
        let working_dir = std::env::current_dir().unwrap_or_default();
        let mut draft = Draft::of(&layers, problems, working_dir);
        draft.check(self.program_discovery, &self.layers);
        let Draft { cluster, profile, values, origins, problems, .. } = draft;
        problems.into_error()?;
        let cluster = cluster.unwrap_or_default();
        Ok(Settings { cluster, profile, values, origins, loader: self.clone() })
    }

    fn source(mut self, path: PathBuf, required: bool) -> Self {
        self.files.push(Source { path: path.into(), required });
        self
    }
}

/// Values of the environment may be secrets.
impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Source {
    fn read(&self) -> Content {
        match bytes_of(&self.path) {
            Ok(bytes) if bytes.len() as u64 > FILE_BYTES_MAX => {
                Content::Failed("the file has more than 1 MiB, which no settings need".to_owned())
            }
            Ok(bytes) => Content::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.required => {
                Content::Absent
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Content::Failed("there is no such file: create it, or correct its name".to_owned())
            }
            Err(error) => Content::Failed(format!("the file cannot be read: {error}")),
        }
    }

    fn layer(&self, content: &Content) -> Result<Option<Node>, Problem> {
        let failed = |text: &str| Problem::new(&Origin::whole(&self.path), None, text);
        let format = Format::of(&self.path).map_err(|text| failed(&text))?;
        match content {
            Content::Bytes(bytes) => format.read(&self.path, bytes).map(Some),
            Content::Absent => Ok(None),
            Content::Failed(text) => Err(failed(text)),
        }
    }
}

/// At most one byte more than a file may have.
fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would keep us waiting for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = vec![];
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A layer of one key, set by the program.
fn program(key: &str, text: &str) -> Node {
    let node = Node { value: Value::Text(text.to_owned()), origin: Origin::Program };
    let entry = Entry { key: key.to_owned(), node };
    Node { value: Value::Table(vec![entry]), origin: Origin::Program }
}

#[cfg(test)]
mod tests;
