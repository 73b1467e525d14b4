# For Homebrew, which takes formulae out of taps alone: Formula/ of a repository <owner>/homebrew-<tap>, or a tap of one's own.
# From a clone, for the main branch:
#
#   brew tap-new --no-git local/iscsid
#   cp packaging/homebrew/iscsid.rb "$(brew --repository local/iscsid)/Formula/"
#   brew install --HEAD local/iscsid/iscsid
#
# The release owner puts the archive's checksum here with each release: until then, without --HEAD, there is nothing to install.
class Iscsid < Formula
  desc "ISCSI initiator that gives a Mac the disks of a NAS, without a kernel extension"
  homepage "https://github.com/iscsid/iscsid"
  url "https://github.com/iscsid/iscsid/archive/refs/tags/v0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://github.com/iscsid/iscsid.git", branch: "main"

  depends_on "rust" => :build
  depends_on macos: :ventura

  def install
    system "cargo", "install", *std_cargo_args
    # One binary with two faces: what it is called by decides.
    bin.install_symlink "iscsid" => "iscsictl"
    generate_completions_from_executable(bin/"iscsictl", "completions")
    system bin/"iscsictl", "man", buildpath/"man"
    man5.install buildpath/"man/man5/iscsid.plist.5"
    man8.install buildpath/"man/man8/iscsid.8", buildpath/"man/man8/iscsictl.8"
    pkgshare.install "packaging/newsyslog/org.iscsid.iscsid.conf"
  end

  def caveats
    <<~EOS
      Only root may attach disks, so the daemon runs as root:
        sudo brew services start iscsid

      Its log is /Library/Logs/iscsid.log. To have newsyslog put that aside at 10 MB:
        sudo cp #{opt_pkgshare}/org.iscsid.iscsid.conf /etc/newsyslog.d/

      Its settings are in /Library/Application Support/iscsid and survive upgrades. An upgrade restarts nothing by itself:
      unmount what is attached, then sudo brew services restart iscsid

      sudo brew services gives some of this formula's directories to root, and says which: nobody else shall change what
      runs as root. Homebrew cannot remove them then. Before brew upgrade, reinstall or uninstall:
        sudo brew services stop iscsid
        sudo chown -R "$(id -un):admin" "#{HOMEBREW_CELLAR}/iscsid"
    EOS
  end

  service do
    run [opt_bin/"iscsid"]
    keep_alive true
    require_root true
    # When it is told to end it has disks written back and ejected; launchd would kill it after 20 seconds.
    stop_timeout 60
    # Disks hang on it: it is started again soon, and is not throttled as background work.
    throttle_interval 5
    process_type :interactive
    # launchd holds the port of the NFS export, also while the daemon does not run: docs/security.md. It has to be this name.
    sockets NFS: "tcp://127.0.0.1:23260"
    # Where no other user than root can put another file, as Homebrew's could below its prefix.
    log_path "/Library/Logs/iscsid.log"
    error_log_path "/Library/Logs/iscsid.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/iscsid --version")
    # Logs in to a target inside the process, writes, cuts the power, reads back and compares.
    assert_match "ok: the whole way works", shell_output("#{bin}/iscsictl selftest")
    assert_match "iscsid is not running", shell_output("#{bin}/iscsictl --runtime-dir #{testpath} list targets 2>&1", 69)
  end
end
