# Windows itself: what runs, what it allows, its memory, event log, dumps, certificates, its end.

function Get-PvSystemFacts {
    $os = Get-PvInstance Win32_OperatingSystem
    $computer = Get-PvInstance Win32_ComputerSystem
    # OSArchitecture is translated; AddressWidth is that of the running system
    $width = @(Get-PvInstance Win32_Processor)[0].AddressWidth
    [ordered]@{
        os_name       = [string] $os.Caption
        os_version    = [string] $os.Version
        architecture  = $(if ($width -eq 64) { 'x64' } else { 'x86' })
        locale        = [string] @($os.MUILanguages)[0]
        computer_name = [string] $computer.Name
        domain_member = [bool] $computer.PartOfDomain
        shell_version = $PSVersionTable.PSVersion.ToString()
        processors    = [long] $computer.NumberOfLogicalProcessors
        time_utc      = ConvertTo-PvTime $os.LocalDateTime
        boot_id       = ConvertTo-PvTime $os.LastBootUpTime
    }
}

function Get-PvBootId {
    [ordered]@{ boot_id = ConvertTo-PvTime (Get-PvInstance Win32_OperatingSystem).LastBootUpTime }
}

function Get-PvMemory {
    $os = Get-PvInstance Win32_OperatingSystem
    [ordered]@{
        total_kib    = [long] $os.TotalVisibleMemorySize
        free_kib     = [long] $os.FreePhysicalMemory
        physical_kib = [long] [Math]::Floor([decimal] (Get-PvInstance Win32_ComputerSystem).TotalPhysicalMemory / 1024)
    }
}

function Get-PvSecurityFacts {
    $secureBoot = Get-PvRegistryValue 'SYSTEM\CurrentControlSet\Control\SecureBoot\State' 'UEFISecureBootEnabled'
    [ordered]@{
        secure_boot       = $(if ($null -ne $secureBoot) { $secureBoot -ne 0 })
        test_signing      = Test-PvTestSigning
        full_token        = Test-PvFullToken
        script_policy     = Get-PvScriptPolicy
        defender_realtime = Get-PvDefender
        firewall          = @(Get-PvFirewallProfile)
    }
}

# Nothing where there is no Defender.
function Get-PvDefender {
    try {
        [bool] (Get-PvInstance MSFT_MpComputerStatus 'root/Microsoft/Windows/Defender').RealTimeProtectionEnabled
    } catch {
        if (-not (Test-PvNoClass $_)) {
            throw
        }
    }
}

# The options this boot was started with; `bcdedit` would only say what the next one will have.
function Test-PvTestSigning {
    $options = [string] (Get-PvRegistryValue 'SYSTEM\CurrentControlSet\Control' 'SystemStartOptions')
    $options -match '(^|\s)/?TESTSIGNING(\s|$)'
}

# A remote logon without full token has the medium integrity label: S-1-16-12288 is high, 16384 system.
function Test-PvFullToken {
    $groups = (Invoke-PvProgram 'whoami.exe' @('/groups', '/fo', 'csv', '/nh')).Output
    $groups -match 'S-1-16-(12288|16384)\b'
}

# What scripts meet without our -ExecutionPolicy Bypass, which counts for this process only.
function Get-PvScriptPolicy {
    $policies = @(Get-ExecutionPolicy -List)
    foreach ($scope in 'MachinePolicy', 'UserPolicy', 'CurrentUser', 'LocalMachine') {
        foreach ($entry in $policies) {
            if ([string] $entry.Scope -eq $scope -and [string] $entry.ExecutionPolicy -ne 'Undefined') {
                return [string] $entry.ExecutionPolicy
            }
        }
    }
    'Undefined'
}

# A group policy goes before the local setting. The registry calls Private "Standard".
function Get-PvFirewallProfile {
    foreach ($name in 'Domain', 'Private', 'Public') {
        $key = $(if ($name -eq 'Private') { 'StandardProfile' } else { "${name}Profile" })
        $enabled = Get-PvRegistryValue "SOFTWARE\Policies\Microsoft\WindowsFirewall\$key" 'EnableFirewall'
        if ($null -eq $enabled) {
            $enabled = Get-PvRegistryValue "SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\$key" 'EnableFirewall'
        }
        if ($null -ne $enabled) {
            [ordered]@{ name = $name; enabled = ($enabled -ne 0) }
        }
    }
}

function Set-PvTestSigning {
    param([bool] $Enabled)
    Invoke-PvTool 'bcdedit.exe' @('/set', '{current}', 'testsigning', $(if ($Enabled) { 'on' } else { 'off' }))
}

# The second of delay lets the answer out.
function Restart-PvGuest {
    Invoke-PvTool 'shutdown.exe' @('/r', '/f', '/t', '1', '/d', 'p:0:0')
}

function Stop-PvGuest {
    Invoke-PvTool 'shutdown.exe' @('/s', '/f', '/t', '1', '/d', 'p:0:0')
}

# -- event log

function Get-PvSystemEvent {
    param([string] $Condition, [long] $Limit)
    $query = @{ LogName = 'System'; FilterXPath = $Condition }
    if ($Limit -gt 0) {
        $query.MaxEvents = $Limit
    }
    try {
        Get-WinEvent @query
    } catch {
        # an empty answer is an error there
        if ($_.FullyQualifiedErrorId -notmatch '^NoMatchingEventsFound,') {
            throw
        }
    }
}

function Get-PvEventMark {
    $newest = @(Get-PvSystemEvent '*' 1)
    [ordered]@{ record = $(if ($newest.Count) { [long] $newest[0].RecordId } else { [long] 0 }) }
}

function Get-PvEvent {
    param([long] $Record, [long] $Limit)
    if ($Limit -lt 1) {
        return
    }
    $found = @(Get-PvSystemEvent "*[System[EventRecordID>$Record]]" $Limit)
    [Array]::Reverse($found) # newest first is what Get-WinEvent gives
    foreach ($entry in $found) {
        [ordered]@{
            record     = [long] $entry.RecordId
            provider   = [string] $entry.ProviderName
            event_id   = [long] $entry.Id
            level      = ConvertTo-PvNumber $entry.Level
            time_utc   = ConvertTo-PvTime $entry.TimeCreated
            properties = [string[]] @($entry.Properties | ForEach-Object { ConvertTo-PvEventText $_.Value })
        }
    }
}

function ConvertTo-PvEventText {
    param($Value)
    if ($Value -is [byte[]]) {
        return [BitConverter]::ToString($Value).Replace('-', '').ToLowerInvariant()
    }
    if ($Value -is [datetime]) {
        return ConvertTo-PvTime $Value
    }
    [Convert]::ToString($Value, [Globalization.CultureInfo]::InvariantCulture)
}

# facts/pv-drivers.md 7: 1074 User32, 6006 and 6008 EventLog, 41 Kernel-Power, 1001 of WER or BugCheck.
function Get-PvStopEvent {
    param([long] $Record)
    $counts = [ordered]@{ requested = 0; clean = 0; unclean = 0; bugchecks = 0 }
    $ids = 'EventID=41 or EventID=1001 or EventID=1074 or EventID=6006 or EventID=6008'
    foreach ($entry in @(Get-PvSystemEvent "*[System[EventRecordID>$Record and ($ids)]]" 0)) {
        switch ('{0} {1}' -f $entry.ProviderName, $entry.Id) {
            'User32 1074' { $counts.requested++ }
            'EventLog 6006' { $counts.clean++ }
            'EventLog 6008' { $counts.unclean++ }
            'Microsoft-Windows-Kernel-Power 41' { $counts.unclean++ }
            'Microsoft-Windows-WER-SystemErrorReporting 1001' { $counts.bugchecks++ }
            'BugCheck 1001' { $counts.bugchecks++ }
        }
    }
    $counts
}

function Get-PvDumpFile {
    $control = 'SYSTEM\CurrentControlSet\Control\CrashControl'
    $whole = Get-PvRegistryValue $control 'DumpFile'
    $folder = Get-PvRegistryValue $control 'MinidumpDir'
    if (-not $whole) {
        $whole = Join-Path -Path $env:SystemRoot -ChildPath 'MEMORY.DMP'
    }
    if (-not $folder) {
        $folder = Join-Path -Path $env:SystemRoot -ChildPath 'Minidump'
    }
    $files = @()
    if (Test-Path -LiteralPath $whole) {
        $files += Get-Item -LiteralPath $whole -Force
    }
    if (Test-Path -LiteralPath $folder) {
        $files += @(Get-ChildItem -LiteralPath $folder -Force | Where-Object { $_.Extension -eq '.dmp' })
    }
    $dumps = foreach ($file in $files) {
        [ordered]@{ path = $file.FullName; size = $file.Length; modified_utc = ConvertTo-PvTime $file.LastWriteTimeUtc }
    }
    Get-PvSorted @($dumps) 'path'
}

# -- certificates

function Open-PvCertificateStore {
    param([string] $Name, [string] $Mode)
    if ($Name -notin 'Root', 'TrustedPublisher') {
        Stop-PvOperation 'bad-parameter' "there is no store '$Name' here; Root and TrustedPublisher are"
    }
    $store = New-Object -TypeName System.Security.Cryptography.X509Certificates.X509Store -ArgumentList @($Name, 'LocalMachine')
    $store.Open($Mode)
    $store
}

function ConvertTo-PvCertificate {
    param([string] $Store, $Certificate)
    [ordered]@{ store = $Store; thumbprint = $Certificate.Thumbprint.ToUpperInvariant(); subject = [string] $Certificate.Subject }
}

function Get-PvCertificate {
    param([string] $Store)
    $open = Open-PvCertificateStore $Store 'ReadOnly'
    try {
        Get-PvSorted @($open.Certificates | ForEach-Object { ConvertTo-PvCertificate $Store $_ }) 'thumbprint'
    } finally {
        $open.Close()
    }
}

function Import-PvCertificate {
    param([string] $Path, [string] $Store)
    $certificate = [Security.Cryptography.X509Certificates.X509Certificate2]::new([IO.File]::ReadAllBytes($Path))
    $open = Open-PvCertificateStore $Store 'ReadWrite'
    try {
        $open.Add($certificate)
    } finally {
        $open.Close()
    }
    ConvertTo-PvCertificate $Store $certificate
}
