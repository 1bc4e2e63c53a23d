# Windows, as far as the module asks it: a mock per command, fed from the JSON file $env:PV_STATE
# (tests/pwsh/pwsh_rows.py writes it). What is changed is noted in $env:PV_LOG, a line of JSON each.

$global:PvRead = $null
$global:PvWritten = @{}

function global:Get-MockState {
    $file = [IO.FileInfo]::new($env:PV_STATE)
    $key = '{0} {1}' -f $file.LastWriteTimeUtc.Ticks, $file.Length
    if ($null -eq $global:PvRead -or $global:PvRead.Key -ne $key) {
        $global:PvWritten = @{}
        $text = [IO.File]::ReadAllText($env:PV_STATE)
        $global:PvRead = @{ Key = $key; State = (Restore-MockValue (ConvertFrom-Json -InputObject $text)) }
    }
    $global:PvRead.State
}

# Objects as objects, {"$time": ...} as local times, {"$bytes": [...]} as bytes.
function global:Restore-MockValue {
    param($Value)
    if ($Value -is [array]) {
        return , @($Value | ForEach-Object { , (Restore-MockValue $_) })
    }
    if ($Value -isnot [Management.Automation.PSCustomObject]) {
        return $Value
    }
    $names = @($Value.PSObject.Properties | ForEach-Object { $_.Name })
    if ($names.Count -eq 1 -and $names[0] -eq '$time') {
        return ([datetime] $Value.'$time').ToLocalTime()
    }
    if ($names.Count -eq 1 -and $names[0] -eq '$bytes') {
        return , [byte[]] $Value.'$bytes'
    }
    $fields = [ordered]@{}
    foreach ($name in $names) {
        $fields[$name] = Restore-MockValue $Value.$name
    }
    [pscustomobject] $fields
}

function global:Get-MockField {
    param($Object, [string] $Name)
    $property = $Object.PSObject.Properties[$Name]
    if ($null -ne $property) { $property.Value }
}

function global:Write-MockLog {
    param([hashtable] $Entry)
    [IO.File]::AppendAllText($env:PV_LOG, (ConvertTo-Json -InputObject $Entry -Depth 4 -Compress) + "`n")
}

# Errors of commands written in C# follow the caller's preference, which is Stop in the module.
function global:Invoke-Mock {
    param($Cmdlet, [string] $Name, $Bound)
    $preference = [string] $(if ($Bound.ContainsKey('ErrorAction')) { $Bound['ErrorAction'] } else { 'Stop' })
    try {
        & $global:PvMocks[$Name] $Bound
    } catch {
        if ($preference -notin 'SilentlyContinue', 'Ignore') {
            $Cmdlet.ThrowTerminatingError($_)
        }
    }
}

function global:Stop-Mock {
    param([string] $Id, [string] $Category = 'NotSpecified', [string] $Text = 'Allgemeiner Fehler')
    throw [Management.Automation.ErrorRecord]::new([Exception]::new($Text), $Id, $Category, $null)
}

$global:PvCimId = 'Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand'

function global:Get-MockInstance {
    param([string] $Namespace, [string] $Class, [string] $Filter)
    if ($Class -eq 'Win32_Process') {
        return Get-MockProcess ([regex]::Match($Filter, '^ProcessId=(\d+)$').Groups[1].Value)
    }
    $state = Get-MockState
    $script = Get-MockField $state 'before'
    if ($script) { & ([scriptblock]::Create($script)) }
    if ($Class -in @(Get-MockField $state 'denied')) {
        Stop-Mock "HRESULT 0x80041003,$global:PvCimId" 'PermissionDenied' 'Zugriff verweigert'
    }
    if ($Class -in @(Get-MockField $state 'failing')) {
        Stop-Mock "HRESULT 0x80041001,$global:PvCimId"
    }
    $classes = Get-MockField $state.cim $Namespace.Replace('\', '/').ToLowerInvariant()
    if ($null -eq $classes) {
        Stop-Mock "HRESULT 0x8004100e,$global:PvCimId" 'MetadataError' 'Ungültiger Namespace'
    }
    if ($null -eq $classes.PSObject.Properties[$Class]) {
        Stop-Mock "HRESULT 0x80041010,$global:PvCimId" 'MetadataError' 'Ungültige Klasse'
    }
    $rows = $classes.PSObject.Properties[$Class].Value
    $rows | Where-Object { Test-MockFilter $_ $Filter }
}

# WQL of the form A='x' OR A='y' OR B=3.
function global:Test-MockFilter {
    param($Row, [string] $Filter)
    if (-not $Filter) { return $true }
    $rest = $Filter
    while ($rest -match "^(\w+)=(?:'((?:[^'\\]|\\.)*)'|(\d+))(?: OR |$)(.*)$") {
        $name, $text, $number, $rest = $Matches[1], $Matches[2], $Matches[3], $Matches[4]
        $wanted = $(if ($null -ne $text) { [regex]::Replace($text, '\\(.)', '$1') } else { $number })
        if ([string] $Row.$name -eq $wanted) { return $true }
    }
    if ($rest) { Stop-Mock "HRESULT 0x80041017,$global:PvCimId" 'InvalidArgument' "bad WQL: $rest" }
    $false
}

function global:Get-MockProcess {
    param([int] $Number)
    $process = Get-Process -Id $Number -ErrorAction Ignore
    if ($null -ne $process) {
        [pscustomobject] @{ ProcessId = $Number; CreationDate = $process.StartTime }
    }
}

function global:Start-MockProcess {
    param([string] $Line)
    $ours = $Line -replace '^powershell\.exe', $env:PV_ENGINE
    $start = [Diagnostics.ProcessStartInfo]::new('/bin/sh')
    $start.ArgumentList.Add('-c')
    $start.ArgumentList.Add("exec setsid $ours </dev/null >/dev/null 2>&1")
    $start.UseShellExecute = $false
    $process = [Diagnostics.Process]::Start($start)
    [pscustomobject] @{ ReturnValue = 0; ProcessId = $process.Id }
}

# -- registry, as far as HKLM goes

function global:Get-MockKey {
    param($Bound)
    $path = [string] @($Bound['LiteralPath'])[0]
    if ($Bound.ContainsKey('LiteralPath') -and $path.StartsWith('HKLM:\')) { $path.Substring(6) }
}

function global:Test-MockKey {
    param([string] $Key)
    foreach ($known in (Get-MockState).registry.PSObject.Properties) {
        if ($known.Name -eq $Key -or $known.Name.StartsWith("$Key\", 'OrdinalIgnoreCase')) { return $true }
    }
    $false
}

# -- xenstore, with a watch's first event

function global:Stop-MockXen {
    param([int] $Code)
    throw [Runtime.InteropServices.COMException]::new('Allgemeiner Fehler', $Code)
}

function global:Get-MockNode {
    param([string] $Path)
    if ($Path -in @(Get-MockField (Get-MockState) 'xenstore_denied')) { Stop-MockXen 0x80041003 }
    if ($global:PvWritten.ContainsKey($Path)) { return $global:PvWritten[$Path] }
    $node = (Get-MockState).xenstore.PSObject.Properties[$Path]
    if ($null -eq $node) { Stop-MockXen 0x80041001 }
    ([string] $node.Value).Substring(1)
}

function global:New-MockSession {
    $session = [pscustomobject] @{ SessionId = 5; Id = 'pvhck' }
    $session | Add-Member -MemberType ScriptMethod -Name GetValue -Value { param($path) @{ value = Get-MockNode $path } }
    $session | Add-Member -MemberType ScriptMethod -Name GetChildren -Value {
        param($path)
        $names = @((Get-MockState).xenstore.PSObject.Properties.Name)
        $inside = @($names | Where-Object { $_ -match ('^' + [regex]::Escape($path) + '/[^/]+$') })
        if ($inside.Count -eq 0 -and $path -notin $names) { Stop-MockXen 0x80041001 }
        @{ children = $(if ($inside.Count) { [pscustomobject] @{ NoOfChildNodes = $inside.Count; ChildNodes = $inside } }) }
    }
    $session | Add-Member -MemberType ScriptMethod -Name SetValue -Value {
        param($path, $value)
        if ($path -in @(Get-MockField (Get-MockState) 'xenstore_denied')) { Stop-MockXen 0x80041003 }
        $global:PvWritten[$path] = $value
        Write-MockLog @{ xenstore = $path; value = $value }
    }
    $session | Add-Member -MemberType ScriptMethod -Name SetWatch -Value {
        param($path)
        $times = 1 + [int] ($path -in @(Get-MockField (Get-MockState) 'xenstore_changes'))
        foreach ($time in 1..$times) { $null = New-Event -SourceIdentifier $global:PvWatch }
    }
    $session | Add-Member -MemberType ScriptMethod -Name EndSession -Value { Write-MockLog @{ session = 'ended' } }
    $session
}

# -- disks: \\.\PhysicalDriveN is the file $env:PV_DISKS/N

# a class takes PowerShell long to make: only when it is asked for
$global:PvFakeKernel = {
    $class = @'
class FakeKernel {
    static [object] CreateFile([string] $name, [uint32] $access, [uint32] $share, [IntPtr] $security, [uint32] $disposition, [uint32] $flags, [IntPtr] $template) {
        $path = $name.Replace('\\.\PhysicalDrive', "$env:PV_DISKS/")
        $mode = $(if ($access -eq 3221225472) { [IO.FileAccess]::ReadWrite } else { [IO.FileAccess]::Read })
        return [IO.File]::OpenHandle($path, [IO.FileMode]::Open, $mode, [IO.FileShare]::ReadWrite)
    }
}
[FakeKernel]
'@
    & ([scriptblock]::Create($class))
}

$global:PvMocks = @{
    'Get-CimInstance'                = { param($bound) Get-MockInstance $bound['Namespace'] $bound['ClassName'] $bound['Filter'] }
    'Get-CimClass'                   = {
        param($bound)
        $prefix = Get-MockField (Get-MockState) 'xen_prefix'
        if ($null -eq $prefix) { Stop-Mock "HRESULT 0x80041002,Microsoft.Management.Infrastructure.CimCmdlets.GetCimClassCommand" 'ObjectNotFound' 'Nicht gefunden' }
        [pscustomobject] @{ CimClassName = $bound['ClassName'].Replace('*', $prefix) }
    }
    'Invoke-CimMethod'               = {
        param($bound)
        if ($bound.ContainsKey('InputObject')) {
            Write-MockLog @{ method = $bound['MethodName']; object = $bound['InputObject'].Name }
            return [pscustomobject] @{ ReturnValue = 0 }
        }
        Start-MockProcess $bound['Arguments'].CommandLine
    }
    'Get-WinEvent'                   = {
        param($bound)
        $found = @((Get-MockState).events | Where-Object { $_.LogName -eq $bound['LogName'][0] -and (Test-MockEvent $_ $bound['FilterXPath']) } | Sort-Object -Property RecordId -Descending)
        if ($found.Count -eq 0) { Stop-Mock 'NoMatchingEventsFound,Microsoft.PowerShell.Commands.GetWinEventCommand' 'ObjectNotFound' 'Es wurden keine Ereignisse gefunden' }
        if ($bound.ContainsKey('MaxEvents')) { $found | Select-Object -First $bound['MaxEvents'] } else { $found }
    }
    'Get-WindowsDriver'              = { (Get-MockState).drivers }
    'Get-ExecutionPolicy'            = { (Get-MockState).policies }
    'Set-NetAdapterAdvancedProperty' = {
        param($bound)
        Write-MockLog @{ keyword = $bound['InputObject'][0].RegistryKeyword; value = $bound['RegistryValue'] }
    }
    'Set-ItemProperty'               = { param($bound) Write-MockLog @{ key = Get-MockKey $bound; name = $bound['Name']; value = $bound['Value'] } }
    'Get-WmiObject'                  = {
        param($bound)
        if ($bound['Query'] -match 'XenStoreSession WHERE SessionId=5$') { return New-MockSession }
        $base = [pscustomobject] @{ XenTime = 0 }
        $base | Add-Member -MemberType ScriptMethod -Name AddSession -Value { param($id) @{ SessionId = 5 } }
        $base
    }
    'Register-WmiEvent'              = { param($bound) $global:PvWatch = $bound['SourceIdentifier']; Register-ObjectEvent -InputObject ([Timers.Timer]::new()) -EventName Elapsed -SourceIdentifier $bound['SourceIdentifier'] }
    'Add-Type'                       = {
        param($bound)
        if ($bound.ContainsKey('MemberDefinition')) { return & $global:PvFakeKernel }
        Microsoft.PowerShell.Utility\Add-Type @bound
    }
    'New-Object'                     = {
        param($bound)
        if ($bound['TypeName'] -notlike '*X509Store') { return Microsoft.PowerShell.Utility\New-Object @bound }
        $store = [pscustomobject] @{ Certificates = @(Get-MockField (Get-MockState).certificates $bound['ArgumentList'][0]) }
        foreach ($method in 'Open', 'Close') { $store | Add-Member -MemberType ScriptMethod -Name $method -Value { } }
        $store | Add-Member -MemberType ScriptMethod -Name Add -Value { param($certificate) Write-MockLog @{ added = $certificate.Thumbprint } }
        $store
    }
    'Test-Path'                      = {
        param($bound)
        $key = Get-MockKey $bound
        if ($null -eq $key) { return Microsoft.PowerShell.Management\Test-Path @bound }
        Test-MockKey $key
    }
    'Get-ItemProperty'               = {
        param($bound)
        $key = Get-MockKey $bound
        if ($null -eq $key) { return Microsoft.PowerShell.Management\Get-ItemProperty @bound }
        if (-not (Test-MockKey $key)) { Stop-Mock 'PathNotFound,Microsoft.PowerShell.Commands.GetItemPropertyCommand' 'ObjectNotFound' 'Pfad fehlt' }
        $values = Get-MockField (Get-MockState).registry $key
        if ($null -ne $values) { $values } else { [pscustomobject] @{ PSChildName = $key } }
    }
    'Get-ChildItem'                  = {
        param($bound)
        $key = Get-MockKey $bound
        if ($null -eq $key) { return Microsoft.PowerShell.Management\Get-ChildItem @bound }
        $depth = $key.Split('\').Count
        (Get-MockState).registry.PSObject.Properties.Name | Where-Object { $_.StartsWith("$key\", 'OrdinalIgnoreCase') } |
            ForEach-Object { $_.Split('\')[$depth] } | Select-Object -Unique | ForEach-Object { [pscustomobject] @{ PSChildName = $_ } }
    }
}

# *[System[EventRecordID>N and (EventID=A or EventID=B)]]
function global:Test-MockEvent {
    param($Entry, [string] $XPath)
    if ($XPath -match 'EventRecordID>(\d+)' -and [long] $Entry.RecordId -le [long] $Matches[1]) { return $false }
    $ids = @([regex]::Matches($XPath, 'EventID=(\d+)') | ForEach-Object { [int] $_.Groups[1].Value })
    $ids.Count -eq 0 -or $Entry.Id -in $ids
}
