# Jobs: programs that run on by themselves. Win32_Process.Create starts them outside WinRM's job object,
# which would end them with the shell (facts/winrm.md 1.5); what happens to them stands in files.

$script:PvOutputLimit = 65536
$script:PvJobKilled = 1 # the exit code taskkill gives a process it ends
$script:PvDyingSeconds = 10
$script:PvNotStarted = 9009 # cmd.exe's code for a program it cannot find

# Runs in a PowerShell of its own; $Folder holds `program` and `arguments`.
$script:PvJobWrapper = {
    param([string] $Folder)
    $ErrorActionPreference = 'Stop'
    $code = 9009
    $out = [IO.FileStream]::new("$Folder/stdout", 'Create', 'Write', 'ReadWrite, Delete', 1)
    $err = [IO.FileStream]::new("$Folder/stderr", 'Create', 'Write', 'ReadWrite, Delete', 1)
    try {
        $start = [Diagnostics.ProcessStartInfo]::new([IO.File]::ReadAllText("$Folder/program"), [IO.File]::ReadAllText("$Folder/arguments"))
        $start.UseShellExecute = $false
        $start.CreateNoWindow = $true
        $start.WorkingDirectory = $Folder
        $start.RedirectStandardInput = $true
        $start.RedirectStandardOutput = $true
        $start.RedirectStandardError = $true
        $process = [Diagnostics.Process]::Start($start)
        $process.StandardInput.Close()
        $copies = @($process.StandardOutput.BaseStream.CopyToAsync($out), $process.StandardError.BaseStream.CopyToAsync($err))
        $process.WaitForExit()
        $code = $process.ExitCode
        # what the program left running may keep its output open for ever
        $null = [Threading.Tasks.Task]::WaitAll($copies, 5000)
    } catch {
        $text = [Text.Encoding]::UTF8.GetBytes([string] $_)
        $err.Write($text, 0, $text.Length)
    } finally {
        $out.Dispose()
        $err.Dispose()
        [IO.File]::WriteAllText("$Folder/exit.new", "$code")
        [IO.File]::Move("$Folder/exit.new", "$Folder/exit")
    }
}

function Get-PvJobFolder {
    param([string] $Job)
    $base = Join-Path -Path $env:ProgramData -ChildPath 'pvhck' | Join-Path -ChildPath 'jobs'
    Join-Path -Path $base -ChildPath $Job
}

function Start-PvTool {
    param([string] $Path, [string[]] $Arguments)
    if ($Path -match '[\\/]' -and -not [IO.File]::Exists($Path)) {
        Stop-PvOperation 'not-found' "there is no program $Path"
    }
    $job = [guid]::NewGuid().ToString('N')
    $folder = Get-PvJobFolder $job
    New-PvFolder $folder
    [IO.File]::WriteAllText("$folder/program", $Path)
    [IO.File]::WriteAllText("$folder/arguments", (ConvertTo-PvArguments $Arguments))
    $script = "& { $script:PvJobWrapper } '" + $folder.Replace("'", "''") + "'"
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($script))
    $line = "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand $encoded"
    $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{ CommandLine = $line }
    if ($made.ReturnValue -ne 0) {
        Stop-PvOperation $(if ($made.ReturnValue -eq 2) { 'access-denied' } else { 'command-failed' }) "Win32_Process.Create gave $($made.ReturnValue)"
    }
    [IO.File]::WriteAllText("$folder/process", "$($made.ProcessId) $(Get-PvBirth $made.ProcessId)")
    [ordered]@{ job = $job }
}

# pnputil's own words came with Windows 10 1607 (build 14393); before, -i -a.
function Install-PvPackage {
    param([string] $Inf)
    if (-not [IO.File]::Exists($Inf)) {
        Stop-PvOperation 'not-found' "there is no file $Inf"
    }
    $words = $(if (Test-PvNewPnputil) { @('/add-driver', $Inf, '/install') } else { @('-i', '-a', $Inf) })
    Start-PvTool 'pnputil.exe' $words
}

function Uninstall-PvPackage {
    param([string] $Published)
    if ($Published -notmatch '^oem\d+\.inf$') {
        Stop-PvOperation 'bad-parameter' 'published must be oemN.inf'
    }
    $words = $(if (Test-PvNewPnputil) { @('/delete-driver', $Published, '/uninstall', '/force') } else { @('-f', '-d', $Published) })
    Start-PvTool 'pnputil.exe' $words
}

function Test-PvNewPnputil {
    [version] (Get-PvInstance Win32_OperatingSystem).Version -ge [version] '10.0.14393'
}

# When a process was started; nothing for one that is gone.
function Get-PvBirth {
    param([long] $Number)
    $process = Get-PvInstance Win32_Process -Filter "ProcessId=$Number" | Select-Object -First 1
    if ($process -and $process.CreationDate) {
        ConvertTo-PvTime $process.CreationDate
    }
}

function Get-PvJob {
    param([string] $Job)
    $folder = Get-PvJobFolder $Job
    if ($Job -notmatch '^[0-9a-f]{32}$' -or -not [IO.Directory]::Exists($folder)) {
        Stop-PvOperation 'not-found' "there is no job $Job"
    }
    # asked in this order: a job that ends in between has its exit code by then
    $alive = Test-PvJobProcess $folder
    $code = $(if ([IO.File]::Exists("$folder/exit")) { [long] [IO.File]::ReadAllText("$folder/exit") })
    [ordered]@{
        state     = $(if ($null -ne $code) { 'ended' } elseif ($alive) { 'running' } else { 'lost' })
        exit_code = $code
        stdout    = Read-PvOutput "$folder/stdout"
        stderr    = Read-PvOutput "$folder/stderr"
    }
}

# Process numbers are used again: the time of birth must be the same.
function Test-PvJobProcess {
    param([string] $Folder)
    if (-not [IO.File]::Exists("$Folder/process")) {
        return $false
    }
    $number, $born = [IO.File]::ReadAllText("$Folder/process") -split ' '
    [bool] $born -and (Get-PvBirth $number) -eq $born
}

# The last 64 KiB; UTF-8 where it is, else the system's code page.
function Read-PvOutput {
    param([string] $Path)
    if (-not [IO.File]::Exists($Path)) {
        return ''
    }
    $stream = Open-PvFile $Path
    try {
        $null = $stream.Seek([Math]::Max(0, $stream.Length - $script:PvOutputLimit), 'Begin')
        $memory = [IO.MemoryStream]::new()
        $stream.CopyTo($memory)
        $bytes = $memory.ToArray()
    } finally {
        $stream.Dispose()
    }
    $start = 0
    while ($start -lt [Math]::Min(3, $bytes.Length) -and ($bytes[$start] -band 0xC0) -eq 0x80) {
        $start++ # the cut went through a character
    }
    try {
        [Text.UTF8Encoding]::new($false, $true).GetString($bytes, $start, $bytes.Length - $start)
    } catch [Text.DecoderFallbackException] {
        [Text.Encoding]::Default.GetString($bytes)
    }
}

function Stop-PvJob {
    param([string] $Job)
    $status = Get-PvJob $Job
    if ($status.state -ne 'running') {
        return $status
    }
    $folder = Get-PvJobFolder $Job
    $number = ([IO.File]::ReadAllText("$folder/process") -split ' ')[0]
    $done = Invoke-PvProgram 'taskkill.exe' @('/T', '/F', '/PID', $number)
    # taskkill does not wait: TerminateProcess only begins the end (Win32 reference, TerminateProcess)
    $until = [DateTime]::UtcNow.AddSeconds($script:PvDyingSeconds)
    while (Test-PvJobProcess $folder) {
        if ($done.ExitCode -ne 0 -or [DateTime]::UtcNow -gt $until) {
            Stop-PvOperation 'command-failed' ('taskkill ended with {0}: {1}' -f $done.ExitCode, $done.Output)
        }
        Start-Sleep -Milliseconds 50
    }
    if (-not [IO.File]::Exists("$folder/exit")) {
        [IO.File]::WriteAllText("$folder/exit", "$script:PvJobKilled")
    }
    Get-PvJob $Job
}
