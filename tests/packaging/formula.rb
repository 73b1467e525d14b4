# Evaluates the formula with what Homebrew's language would do written down instead, and prints it as JSON.
# usage: formula.rb FORMULA DIRECTORY_OF_THE_BUILT_BINARY
require "json"

HOMEBREW_CELLAR = "PREFIX/Cellar"

SAID = { "install" => [], "service" => {}, "depends_on" => [], "test" => [] }

class Place
  attr_reader :path

  def initialize(path)
    @path = path
  end

  def /(other)
    Place.new("#{@path}/#{other}")
  end

  def to_s
    @path
  end
  alias to_str to_s

  def install(*files)
    SAID["install"] << ["install", @path, *files.map(&:to_s)]
  end

  def install_symlink(links)
    links.each { |from, to| SAID["install"] << ["symlink", @path, from, to] }
  end
end

module Places
  { bin: "bin", opt_bin: "opt/bin", etc: "etc", var: "var", man5: "man5", man8: "man8", buildpath: "build",
    testpath: "testpath", pkgshare: "share/iscsid", opt_pkgshare: "opt/share/iscsid" }.each { |name, path| define_method(name) { Place.new("PREFIX/#{path}") } }
end

class Service
  include Places
  %i[run keep_alive require_root throttle_interval process_type stop_timeout sockets log_path error_log_path].each do |word|
    define_method(word) { |value| SAID["service"][word.to_s] = [*value].map { |one| one.is_a?(Place) ? one.to_s : one } }
  end
end

class Formula
  include Places
  class << self
    %i[desc homepage url sha256 license].each { |word| define_method(word) { |value| SAID[word.to_s] = value } }

    def head(url, branch:)
      SAID["head"] = [url, branch]
    end

    def depends_on(what)
      SAID["depends_on"] << what
    end

    def service(&block)
      Service.new.instance_eval(&block)
    end

    def test(&block)
      define_method(:run_test, &block)
    end

    def inherited(formula)
      super
      const_set(:ONE, [formula])
    end
  end

  def std_cargo_args
    ["--locked", "--root=PREFIX", "--path=."]
  end

  def system(*words)
    SAID["install"] << ["system", *words.map(&:to_s)]
  end

  def generate_completions_from_executable(executable, *words)
    SAID["install"] << ["completions", executable.to_s, *words]
  end

  def version
    SAID["url"][/v([0-9.]+)\.tar/, 1]
  end

  # In the test block the program is the one that was built here.
  def shell_output(command, status = 0)
    command = command.gsub("PREFIX/bin", ARGV[1]).gsub("PREFIX/testpath", ENV.fetch("TESTPATH"))
    said = `#{command}`
    raise "#{command}: #{$?.exitstatus}, not #{status}: #{said}" if $?.exitstatus != status

    said
  end

  def assert_match(expected, said)
    raise "#{expected.inspect} is not in #{said.inspect}" unless said.match?(expected)

    SAID["test"] << expected
  end
end

load ARGV[0]
formula = Formula::ONE.first.new
formula.install
SAID["caveats"] = formula.caveats
formula.run_test
puts JSON.generate(SAID)
